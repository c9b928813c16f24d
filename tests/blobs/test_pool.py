from __future__ import annotations

import gc
import mmap
import os
import signal
import threading
import warnings
from pathlib import Path

import pytest

from midas_mp import limits
from midas_mp.blobs import forks, memfd, pool
from midas_mp.blobs.mapping import address_of, locate
from midas_mp.blobs.pool import Pool

PAGE = mmap.PAGESIZE
SIZE = 64 * PAGE
BLOB = limits.BLOB_BYTES_MIN


@pytest.fixture
def fresh(monkeypatch):
    """This process as if it had never made a pool."""
    monkeypatch.setattr(pool, "_of_this_process", pool._OfThisProcess())
    monkeypatch.setattr(pool, "_warned", set())


def refuse(*_):
    raise OSError("not on this machine")


def test_blocks_lie_apart_and_are_used_again():
    here = Pool(SIZE)
    first, second = here.allocate(PAGE + 1), here.allocate(1)
    assert here.used_bytes == 3 * PAGE
    assert address_of(second) - address_of(first) == 2 * PAGE
    where = address_of(first)
    del first
    again = here.allocate(2 * PAGE)
    assert address_of(again) == where
    assert len(again) == 2 * PAGE
    del again, second
    assert here.used_bytes == 0


def test_an_exhausted_pool_has_nothing_to_give():
    here = Pool(SIZE)
    all_of_it = here.allocate(SIZE)
    assert here.allocate(1) is None
    del all_of_it
    assert here.allocate(SIZE) is not None


def test_an_empty_block_is_a_block():
    here = Pool(SIZE)
    empty, next_one = here.allocate(0), here.allocate(1)
    assert bytes(empty) == b""
    assert address_of(empty) != address_of(next_one)
    del empty, next_one
    assert here.used_bytes == 0


def test_blocks_may_be_let_go_by_any_thread_in_the_middle_of_anything():
    here = Pool(SIZE)
    blocks = [here.allocate(PAGE) for _ in range(8)]
    thread = threading.Thread(target=blocks.clear)
    with here._lock:  # as when the collector of garbage runs inside of an allocation
        thread.start()
        thread.join()
    assert here.used_bytes == 0


def test_blocks_in_garbage_come_back():
    here = Pool(SIZE)
    circle: list = [here.allocate(SIZE)]
    circle.append(circle)
    del circle
    gc.collect()
    assert here.used_bytes == 0


def test_many_threads_never_share_a_block():
    here = Pool(SIZE)
    wrong = []

    def use(number: int) -> None:
        for _ in range(200):
            block = here.allocate(PAGE)
            block[:8] = number.to_bytes(8, "little")
            if int.from_bytes(block[:8], "little") != number:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, here.used_bytes) == ([], 0)


def test_trimming_gives_back_what_was_not_needed_for_a_while():
    here = Pool(SIZE)

    kept, dropped = here.allocate(4 * PAGE), here.allocate(20 * PAGE)
    kept[:], dropped[:] = b"k" * len(kept), b"d" * len(dropped)
    del dropped
    here.trim()
    assert here.touched_bytes == 24 * PAGE, "it was needed a moment ago"
    here.trim()
    assert here.touched_bytes == 4 * PAGE
    assert bytes(kept) == b"k" * len(kept)
    here.trim()
    assert here.touched_bytes == 4 * PAGE


def test_trimming_goes_on_where_it_stopped(monkeypatch):
    monkeypatch.setattr(pool, "TRIM_BYTES", 8 * PAGE)
    here = Pool(SIZE)
    block = here.allocate(20 * PAGE)
    block[:] = bytes(len(block))
    del block
    assert not here.trim()
    assert here.trim()
    late = here.allocate(6 * PAGE)
    late[:] = b"l" * len(late)
    assert here.trim() is False, "down to what has come meanwhile"
    assert here.touched_bytes == 6 * PAGE
    assert bytes(late) == b"l" * len(late)


def test_trimming_reaches_below_what_is_kept_for_long():
    here = Pool(SIZE)
    below, kept = here.allocate(20 * PAGE), here.allocate(4 * PAGE)
    below[:], kept[:] = b"b" * len(below), b"k" * len(kept)
    del below
    often = here.allocate(2 * PAGE)
    often[:] = bytes(len(often))
    here.trim()
    del often
    again = here.allocate(2 * PAGE)
    assert not here.trim()
    assert here.touched_bytes == 6 * PAGE, "what is used again and again stays warm"
    assert bytes(kept) == b"k" * len(kept)
    del again


def test_an_emptied_pool_has_nothing_but_what_is_in_use():
    here = Pool(SIZE)
    blocks = [here.allocate(4 * PAGE) for _ in range(4)]
    for block in blocks:
        block[:] = b"b" * len(block)
    kept = blocks[2]
    del block, blocks
    here.empty()
    assert here.touched_bytes == 4 * PAGE
    assert bytes(kept) == b"b" * len(kept)
    del kept
    here.empty()
    assert here.touched_bytes == 0


def test_several_who_trim_are_as_good_as_one(fresh, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(pool.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(pool, "TRIM_BYTES", BLOB)
    assert pool.trim() == pool.TRIM_INTERVAL_S, "nothing was ever shared"
    shared = pool.share(os.urandom(3 * BLOB))
    del shared
    clock[0] += 4
    assert pool.trim() == pool.TRIM_INTERVAL_S - 4
    here = pool._of_this_process.get()
    assert here.touched_bytes == 3 * BLOB
    clock[0] += 6
    assert pool.trim() == pool.TRIM_INTERVAL_S, "it was needed a moment ago"
    clock[0] += pool.TRIM_INTERVAL_S
    assert pool.trim() == pytest.approx(pool.TRIM_PAUSE_S)
    assert here.touched_bytes == 2 * BLOB
    pool.empty()
    assert here.touched_bytes == 0


def test_large_buffers_are_shared_by_a_copy_and_small_ones_stay(fresh):
    large, small = os.urandom(BLOB), os.urandom(BLOB - 1)
    shared = pool.share(large)
    assert bytes(shared) == large
    assert locate(shared) is not None
    assert pool.share(shared) is shared, "it is there already"
    piece = shared[10:]
    assert pool.share(piece) is piece
    assert pool.share(small) is small


def test_where_all_is_taken_bytes_stay_as_they_are(fresh, monkeypatch):
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", BLOB)
    large, larger = bytes(BLOB), bytes(BLOB + 1)
    assert pool.share(larger) is larger
    shared = pool.share(large)
    assert shared is not large
    assert pool.share(large) is large
    del shared
    assert pool.share(large) is not large


def test_where_addresses_are_limited_it_takes_a_share_of_them(fresh, monkeypatch):
    monkeypatch.setattr(pool.resource, "getrlimit", lambda _: (64 * limits.MB, 128 * limits.MB))
    assert pool.within_address_space(limits.MB, 4) == limits.MB
    assert pool._size_bytes() == 16 * limits.MB
    monkeypatch.undo()
    assert pool.within_address_space(limits.GB, 4) == limits.GB
    assert pool._size_bytes() > limits.GB


def test_a_machine_without_shared_memory_is_told_of_once(fresh, monkeypatch):
    monkeypatch.setattr(memfd, "create", refuse)
    large = bytes(BLOB)
    with pytest.warns(RuntimeWarning, match="not on this machine.*copied"):
        assert pool.share(large) is large
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pool.share(large) is large
        assert pool.allocate(BLOB) is None
        pool.trim()


def test_trimming_makes_no_pool(fresh):
    pool.trim()
    assert pool._of_this_process.made is None
    block = pool.allocate(BLOB)
    block[:] = bytes(BLOB)
    pool.trim()
    assert pool._of_this_process.made is not None


def test_a_fork_has_a_pool_of_its_own(fresh):
    block = pool.allocate(BLOB)
    block[:4] = b"mine"
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        other = pool.allocate(BLOB)
        other[:4] = b"fork"
        copied = pool.share(block)
        seen = address_of(other) != address_of(block) and copied is not block
        os._exit(int(not (seen and bytes(copied[:4]) == b"mine")))
    assert os.waitpid(pid, 0)[1] == 0
    assert bytes(block[:4]) == b"mine"


def test_descriptors_end_with_their_pool():
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()
    forks.sweep()
    before = count()
    here = Pool(SIZE)
    block = here.allocate(PAGE)
    del here
    assert count() == before + 1
    del block
    assert count() == before
