import pytest

from midas_mp.held_buffer import HeldBuffer
from tests.lua.arrays import address_of


def test_a_held_buffer_is_where_it_says():
    data = bytearray(b"abcdef")
    held = HeldBuffer(data)
    assert (held.address, held.size_bytes) == (address_of(data), 6)
    held.release()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_buffers_of_every_kind_are_held_also_read_only_ones(kind):
    held = HeldBuffer(kind(b"abc"))
    assert held.size_bytes == 3
    held.release()


def test_a_held_buffer_cannot_move_until_it_is_released():
    data = bytearray(b"abc")
    held = HeldBuffer(data)
    with pytest.raises(BufferError):
        data.append(0)
    held.release()
    data.append(0)


def test_what_is_not_contiguous_is_not_held():
    with pytest.raises(BufferError):
        HeldBuffer(memoryview(b"abcdef")[::2])
