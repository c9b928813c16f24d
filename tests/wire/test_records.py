from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.wire.records import PREFIX, RecordReader, RecordWriter, begins_stream

writes = st.lists(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4), max_size=5)


def records_of(*writes: list[bytes]) -> list[bytes]:
    """One for each write."""
    writer = RecordWriter()
    return [b"".join(writer.seal(pieces)) for pieces in writes]


def read(stream: bytes) -> bytes:
    return b"".join(RecordReader().feed(stream))


def read_bytewise(stream: bytearray, got: list[bytes]) -> None:
    reader = RecordReader()
    for place in range(len(stream)):
        got += reader.feed(stream[place : place + 1])


@given(writes=writes, data=st.data())
def test_any_split_of_the_stream_gives_the_same_bytes(writes, data):
    stream = b"".join(records_of(*writes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = RecordReader()
    got = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        piece = data.draw(st.sampled_from([bytes, bytearray, memoryview]))(stream[start:end])
        got += b"".join(reader.feed(piece))
    assert got == b"".join(piece for pieces in writes for piece in pieces)
    assert reader.is_between_records


def test_the_first_bytes_tell_a_stream_of_records_from_others():
    first, second = records_of([b"one"], [b"two"])
    assert begins_stream(first)
    assert begins_stream(first[: PREFIX.size])
    for other in (
        first[:-4],
        second,
        bytes(64),
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        b"midas\x01\x00\x00 and on",
    ):
        assert not begins_stream(other)


def test_nothing_of_a_record_is_given_before_its_end():
    (record,) = records_of([b"x" * 1000])
    reader = RecordReader()
    for cut in (1, PREFIX.size, PREFIX.size + 1, len(record) - 1):
        reader = RecordReader()
        assert reader.feed(record[:cut]) == []
        assert not reader.is_between_records
        assert b"".join(reader.feed(record[cut:])) == b"x" * 1000


def test_what_is_large_is_cut_into_records_and_not_copied():
    large = bytearray(random.Random(1).randbytes(3 * limits.RECORD_BYTES_MAX + 7))
    view = memoryview(large).cast("B", (1, len(large)))
    sealed = RecordWriter().seal([b"head", view, b"tail"])
    assert [len(piece) for piece in sealed if len(piece) == PREFIX.size] == [PREFIX.size] * 4
    assert all(p.obj is large for p in sealed if isinstance(p, memoryview))
    stream = b"".join(sealed)
    assert read(stream) == b"head" + large + b"tail"
    assert len(stream) == len(large) + 8 + 4 * PREFIX.size


def test_what_is_small_is_one_piece():
    (record,) = RecordWriter().seal([b"x" * 100])
    assert read(bytes(record)) == b"x" * 100
    assert RecordWriter().seal([]) == []


@pytest.mark.parametrize("seed", range(4))
def test_every_flipped_bit_is_found(seed):
    rng = random.Random(seed)
    records = records_of(*([rng.randbytes(rng.randint(1, 60))] for _ in range(5)))
    stream = b"".join(records)
    sent = read(stream)
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        got: list[bytes] = []
        with pytest.raises((ConnectionLost, ProtocolError)):
            read_bytewise(damaged, got)
        assert sent.startswith(b"".join(got)), "what came before it is right"


@given(st.data())
def test_two_flipped_bits_are_found(data):
    stream = b"".join(records_of([b"some"], [b"bytes", b"of"], [b"frames"]))
    bits = data.draw(st.sets(st.integers(0, 8 * len(stream) - 1), min_size=2, max_size=2))
    damaged = bytearray(stream)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises((ConnectionLost, ProtocolError)):
        read(bytes(damaged))


@pytest.mark.parametrize("order", [(0, 2), (0, 1, 1), (0, 2, 1), (1,), (0, 0)])
def test_a_record_that_is_missing_doubled_or_out_of_place_is_found(order):
    records = records_of([b"same"], [b"same"], [b"same"])
    with pytest.raises((ConnectionLost, ProtocolError)):
        read(b"".join(records[number] for number in order))


def test_who_speaks_of_no_records_is_told_so():
    with pytest.raises(ProtocolError, match="not Midas' protocol"):
        read(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ProtocolError, match="not Midas' protocol"):
        read(bytes(PREFIX.size))


def test_a_later_one_was_damaged():
    first, second = records_of([b"first"], [b"second"])
    with pytest.raises(ConnectionLost, match="record 1 was damaged on its way"):
        read(first + b"\xff" + second[1:])
    with pytest.raises(ConnectionLost, match="record 0 was damaged on its way"):
        read(first[:-1] + b"x")


def test_a_record_over_the_limit_is_refused_before_it_comes():
    (record,) = records_of([b"x" * 1000])
    with pytest.raises(ProtocolError, match="record of 1000 bytes is over 999"):
        RecordReader().feed(record[: PREFIX.size], 999)
    assert b"".join(RecordReader().feed(record, 1000)) == b"x" * 1000


def test_memory_grows_with_what_has_come_not_with_what_was_announced():
    (record,) = records_of([bytes(limits.RECORD_BYTES_MAX)])
    reader = RecordReader()
    tracemalloc.start()
    reader.feed(record[:1000])
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_records_are_numbered_without_end():
    writer, reader = RecordWriter(), RecordReader()
    writer._number = reader._number = 2**32 - 1
    for _ in range(3):
        assert reader.feed(b"".join(writer.seal([b"x"]))) == [b"x"]
