from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import weakref

import pytest

from midas_mp.blobs import mapping, memfd
from midas_mp.blobs.mapping import Mapping, address_of, locate

SIZE = 1 << 20


@pytest.fixture
def fd():
    fd = memfd.create("test", SIZE)
    yield fd
    os.close(fd)


def nothing(_offset, _size):
    """Nobody need be told."""


def test_a_view_is_the_bytes_of_its_place(fd):
    writer, reader = Mapping(fd, SIZE, is_writable=True), Mapping(fd, SIZE)
    view = writer.view(4096, 5, nothing)
    view[:] = b"bytes"
    assert os.pread(fd, 5, 4096) == b"bytes"
    seen = reader.view(4096, 5, nothing)
    assert (bytes(seen), seen.readonly, seen.format) == (b"bytes", True, "B")


def test_whatever_is_made_of_a_view_keeps_its_place(fd):
    told = []
    made = Mapping(fd, SIZE, is_writable=True).view(8, 16, lambda *place: told.append(place))
    made[:] = bytes(range(16))
    piece = made[4:12].cast("I")
    copy = memoryview(piece)
    made.release()
    del made
    assert (list(piece), told) == ([0x07060504, 0x0B0A0908], [])
    del piece
    assert told == []
    del copy
    assert told == [(8, 16)]


def test_a_mapping_ends_with_its_last_view(fd):
    mapped = Mapping(fd, SIZE, is_writable=True)
    gone = weakref.ref(mapped)
    view = mapped.view(0, 4, nothing)
    del mapped
    gc.collect()
    assert gone() is not None
    view[:] = b"here"
    del view
    assert gone() is None


def test_a_buffer_is_found_wherever_in_a_mapping_it_lies(fd):
    mapped = Mapping(fd, SIZE, is_writable=True)
    view = mapped.view(4096, 100, nothing)
    assert locate(view) == (mapped, 4096)
    assert locate(view[10:20]) == (mapped, 4106)
    assert locate(view.toreadonly()) == (mapped, 4096)
    assert locate(mapped.view(SIZE - 1, 1, nothing)) == (mapped, SIZE - 1)
    assert locate(b"elsewhere") is None
    assert locate(bytearray(10)) is None
    other = Mapping(fd, SIZE)
    assert locate(other.view(7, 1, nothing)) == (other, 7)


def test_an_address_is_where_the_bytes_are(fd):
    mapped = Mapping(fd, SIZE, is_writable=True)
    assert address_of(mapped.view(123, 4, nothing)) == mapped.address + 123
    with pytest.raises(BufferError):
        address_of(memoryview(b"abcdef")[::2])


def test_what_cannot_be_mapped_is_an_error():
    with pytest.raises(OSError, match="cannot map"):
        Mapping(-1, SIZE)


def test_pages_given_up_cost_nothing_and_read_as_zeros(fd):
    mapped = Mapping(fd, SIZE, is_writable=True)
    view = mapped.view(0, SIZE, nothing)
    view[:] = b"x" * SIZE
    assert os.fstat(fd).st_blocks * 512 == SIZE
    mapped.give_up_pages(4096, SIZE - 4096)
    assert os.fstat(fd).st_blocks * 512 == 4096
    assert bytes(view[4094:4098]) == b"xx\0\0"


AT_THE_END = """
import builtins, sys
from midas_mp.blobs import pool

class Late:
    def __del__(self, view=pool.share(b"still here" * 10_000), out=sys.stdout):
        out.write(bytes(view[:10]).decode())

block = pool.allocate(100_000)
circle = [block, pool.allocate(100_000)]
circle.append(circle)
builtins.circle, builtins.late, sys.kept = circle, Late(), pool.allocate(100_000)
"""


def test_at_the_end_of_a_program_there_is_no_last_word_and_no_crash():
    ended = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "still here", "")


def test_a_fork_reads_on_but_names_nothing_as_its_own(fd):
    mapped = Mapping(fd, SIZE, is_writable=True)
    view = mapped.view(0, 4, nothing)
    view[:] = b"here"
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        os._exit(int(not (bytes(view) == b"here" and locate(view) is None)))
    assert os.waitpid(pid, 0)[1] == 0
    assert locate(view) == (mapped, 0)


def test_nothing_is_left_of_what_is_over(fd):
    before = set(mapping._mappings), len(mapping._leases)
    for _ in range(100):
        mapped = Mapping(fd, SIZE, is_writable=True)
        views = [mapped.view(index, 1, nothing) for index in range(10)]
        del mapped, views
    assert (set(mapping._mappings), len(mapping._leases)) == before
