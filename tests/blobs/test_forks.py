from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from midas_mp.blobs import forks, pool
from midas_mp.blobs.mapping import address_of
from midas_mp.blobs.pool import Pool

SIZE = 2**20


class Forked:
    """A process that does something when it is told to, and ends."""

    def __init__(self, does: Callable[[], bool]) -> None:
        read, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(20)
            os.close(self._go)
            os.read(read, 1)
            os._exit(int(not does()))
        os.close(read)

    def succeeds(self) -> bool:
        """Lets it go on, to its end."""
        os.write(self._go, b"!")
        os.close(self._go)
        return os.waitpid(self.pid, 0)[1] == 0


@pytest.fixture(autouse=True)
def nothing_forked() -> Iterator[None]:
    forks.sweep()
    assert forks._forks == []
    yield
    forks.sweep()
    assert forks._forks == []


def test_a_forked_process_sees_what_was_there_to_its_end() -> None:
    here = Pool(SIZE)
    held = [here.allocate(SIZE)]
    held[0][:4] = b"then"
    forked = Forked(lambda: bytes(held[0][:4]) == b"then")
    held.clear()
    assert here.used_bytes == SIZE
    assert here.allocate(1) is None
    assert forked.succeeds()
    assert here.used_bytes == 0


def test_what_came_after_the_fork_is_given_back_at_once() -> None:
    here = Pool(SIZE)
    forked = Forked(lambda: True)
    block = here.allocate(SIZE)
    del block
    assert here.used_bytes == 0
    assert forked.succeeds()


def test_what_two_have_seen_stays_for_both() -> None:
    here = Pool(SIZE)
    held = [here.allocate(SIZE)]
    held[0][:4] = b"then"
    first, second = (Forked(lambda: bytes(held[0][:4]) == b"then") for _ in range(2))
    held.clear()
    assert first.succeeds()
    assert here.allocate(1) is None
    assert second.succeeds()
    assert here.used_bytes == 0


def test_what_a_forked_process_forks_sees_it_too() -> None:
    here = Pool(SIZE)
    block = here.allocate(SIZE)
    block[:4] = b"then"
    report, told = os.pipe()
    go, going = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        if os.fork() == 0:
            signal.alarm(20)
            os.close(report)
            os.read(go, 1)
            os.write(told, bytes(block[:4]))
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(told)
    del block
    assert here.allocate(1) is None, "the second one lives"
    os.write(going, b"!")
    assert os.read(report, 4) == b"then"
    assert os.read(report, 1) == b"", "it has ended"
    assert here.used_bytes == 0
    for fd in (report, go, going):
        os.close(fd)


def test_a_program_that_is_started_sees_nothing() -> None:
    here = Pool(SIZE)
    block = here.allocate(SIZE)
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, preexec_fn=lambda: None) as program:  # noqa: PLW1509 - so that Python itself forks
        del block
        assert here.used_bytes == 0
        program.communicate(b"\n")


def test_a_forked_process_may_drop_what_it_sees_and_share_anew() -> None:
    here = Pool(SIZE)
    blocks = [here.allocate(4096)]
    address = address_of(blocks[0])

    def drop() -> bool:
        blocks.clear()
        other = pool.allocate(4096)
        return other is not None and forks._forks == []

    forked = Forked(drop)
    assert forked.succeeds()
    assert here.used_bytes == 4096
    assert address_of(blocks[0]) == address


def test_where_no_pipe_can_be_made_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Pool(SIZE)
    block = here.allocate(SIZE)

    def refuse() -> None:
        raise OSError("too many open files")

    with monkeypatch.context() as context:
        context.setattr(forks.os, "pipe", refuse)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    os.waitpid(pid, 0)
    del block
    assert here.used_bytes == SIZE
    fork = forks._forks.pop()
    fork.release()
    assert here.used_bytes == 0


def test_descriptors_end_with_the_forked() -> None:
    before = open_files()
    for _ in range(10):
        assert Forked(lambda: True).succeeds()
        assert open_files() == before + 1, "those of the last one"
    forks.sweep()
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted


FORKS = """
import os
from midas_mp.blobs import forks, pool

def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

fork()
assert forks._forks == []
block = pool.allocate(1)
fork()
assert len(forks._forks) == 1
"""


def test_who_has_held_nothing_has_nothing_to_watch() -> None:
    subprocess.run([sys.executable, "-c", FORKS], check=True)


def test_threads_that_give_back_while_the_forked_ends_lose_nothing() -> None:
    given: list[int] = []
    numbers = [forks.next_number() for _ in range(4_000)]
    forked = Forked(lambda: True)

    def give(some: list[int]) -> None:
        for number in some:
            forks.give_back(number, lambda n=number: given.append(n))  # type: ignore[misc]

    threads = [threading.Thread(target=give, args=(numbers[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    assert forked.succeeds()
    forks.sweep()
    for thread in threads:
        thread.join()
    forks.sweep()
    assert sorted(given) == numbers
