"""What a real Lua process shows of its results, and what it does with calls that are taken back."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgpack
import pytest

from midas_mp import limits
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.output import OutputParser
from midas_mp.participant import task_runner
from midas_mp.participant.unsent_results import UnsentResult
from midas_mp.wire.local import LoadScript, SharedData
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    JobSpec,
    PutBundle,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
)

if TYPE_CHECKING:
    from midas_mp.participant.status_page import RunningTask
    from tests.participant.conftest import Peer

DROPPED = re.compile(rb"\.\.\. (\d+) lines")

JOB = """
local acts = {
  echo = function(x) return x end,
  size = function(x) return ("x"):rep(x) end,
  fail = function(x) error(x, 0) end,
  loop = function() while true do end end,
  gate = function(x) print(("g"):rep(200000)) return x end,
  write = function(x) shared_data.x = x return x end,
  flood = function(x)
    for i = 1, x do print(i) end
    return x
  end,
}
function generate_data(index) while index == 2 do end return index end
function execute_code() return acts[global_data[1]](global_data[2]) end
"""


class Process:
    """One with a job."""

    def __init__(self, peer: Peer, **spec: object) -> None:
        self.peer = peer
        peer.receive()
        sources = [JOB.encode()]
        self.digest = Bundle.from_sources("job.lua", [], sources).digest
        peer.send(BeginJob("j", JobSpec(**spec)))
        peer.send(PutBundle("j", self.digest, "job.lua", []), sources)

    def give(self, *acts: tuple[str, object], first: int = 0) -> None:
        calls = [Call(first + number) for number in range(len(acts))]
        order = RunTasks("j", 0, 100, self.digest, "execute_code", calls)
        self.peer.send(order, [msgpack.packb(act) for act in acts])

    def wait_running(self, index: int) -> RunningTask:
        while (running := self.peer.child.page.read()) is None or running.index != index:
            select.select([], [], [], 0.001)
        return running

    def open_gate(self) -> None:
        """Lets the call end that stands at a gate: what it prints is more than its pipe holds."""
        fd, length = self.peer.child.output_fd, 0
        while length < 200_000:
            select.select([fd], [], [])
            length += len(os.read(fd, 2**20))

    def unsent(self, first: int, running: RunningTask) -> list[object]:
        """Of each call its value, or its failure's message."""
        page = self.peer.child.page
        return [value_of(each) for each in page.read_unsent(first, running)]

    def values(self) -> list[object]:
        """Of the next frame."""
        frame = self.peer.receive()
        assert isinstance(frame.message, TaskResults), frame.message
        return [msgpack.unpackb(buffer) for buffer in frame.buffers]


def value_of(result: UnsentResult) -> object:
    value = msgpack.unpackb(result.payload[0])
    return value if result.status is Status.OK else value["message"]


@pytest.fixture
def process(spawn: Callable) -> Callable[..., Process]:
    def start(profile: str = "worker", **spec: object) -> Process:
        return Process(spawn(profile=profile), **spec)

    return start


@pytest.mark.parametrize("isolate", [True, False])
def test_results_are_shown_while_the_next_call_runs(
    process: Callable[..., Process], isolate: bool
) -> None:
    its = process(isolate=isolate)
    its.give(("echo", 1), ("fail", "no"), ("echo", "x" * 5_000), ("loop", 0), ("echo", 9))
    running = its.wait_running(3)
    assert running.serial == 4
    assert its.unsent(1, running) in ([1, "no", "x" * 5_000], [])
    sent = 0 if its.peer.is_silent() else len(its.values())
    assert its.unsent(1 + sent, running) == [1, "no", "x" * 5_000][sent:]
    its.peer.zygote.signal(its.peer.child, signal.SIGKILL)
    its.peer.wait_exit()
    assert its.unsent(1 + sent, running) == [1, "no", "x" * 5_000][sent:]


def test_what_was_shown_is_sent_all_the_same(process: Callable[..., Process]) -> None:
    its = process()
    its.give(("echo", 1), ("gate", 2), ("echo", 3))
    running = its.wait_running(1)
    shown = its.unsent(1, running)
    its.open_gate()
    values: list[object] = []
    while len(values) < 3:
        values += its.values()
    assert values == [1, 2, 3]
    assert shown in ([1], [])
    assert its.unsent(1, running) == [], "another call runs, or none"


def test_nothing_is_shown_where_data_is_shared(process: Callable[..., Process]) -> None:
    its = process()
    its.give(("echo", 1), first=50)
    its.values()
    its.peer.send(SharedData("j", 0), [msgpack.packb({"x": 1})])
    its.give(("echo", 1), ("echo", 2), ("loop", 0))
    running = its.wait_running(2)
    assert running.serial == 4
    assert its.unsent(2, running) == its.unsent(3, running) == []


def test_nothing_is_shown_by_a_script_process(process: Callable[..., Process]) -> None:
    its = process("driver")
    its.peer.send(LoadScript("j", its.digest))
    its.peer.receive()
    calls = [Call(index, 0, 0) for index in range(3)]
    its.peer.send(RunTasks("j", 0, 3, its.digest, "generate_data", calls))
    running = its.wait_running(2)
    assert running.serial == 4
    assert its.unsent(2, running) == its.unsent(3, running) == []


def test_what_cannot_be_shown_is_sent_before_the_next_call(
    process: Callable[..., Process],
) -> None:
    its = process()
    its.give(("echo", 1), ("size", limits.UNSENT_RESULTS_BYTES), ("loop", 0))
    running = its.wait_running(2)
    sent = 0
    while sent < 2:
        frame = its.peer.receive()
        assert isinstance(frame.message, TaskResults)
        sent += len(frame.message.outcomes)
    assert its.unsent(running.serial, running) == []
    assert its.peer.is_silent()


def test_calls_that_were_taken_back_are_returned_in_every_frame(
    process: Callable[..., Process],
) -> None:
    its = process()
    its.give(("echo", 1), ("gate", 2), ("echo", 3), ("loop", 0))
    its.give(("loop", 0), ("echo", 5), first=4)
    running = its.wait_running(1)
    its.peer.child.page.take_back(6)
    its.give(("echo", "new"), ("echo", "newer"), first=2)
    its.open_gate()
    values: list[object] = []
    while len(values) < 2:
        values += its.values()
    assert values == [1, 2]
    returned = [its.peer.receive().message for _ in range(2)]
    assert returned == [
        TasksReturned([TaskRef("j", 0, 2), TaskRef("j", 0, 3)]),
        TasksReturned([TaskRef("j", 0, 4), TaskRef("j", 0, 5)]),
    ]
    assert its.values() == ["new", "newer"]
    its.give(("loop", 0), first=70)
    assert (running.serial, its.wait_running(70).serial) == (2, 9)


def test_what_was_printed_in_vain_is_told_though_the_rest_is_taken_back(
    process: Callable[..., Process],
) -> None:
    """The second flood ends too soon after the first for a note of its own, and is sent alone."""
    its = process()
    parser, texts = OutputParser(), []

    def read_output(timeout_s: float) -> bool:
        fd = its.peer.child.output_fd
        if not select.select([fd], [], [], timeout_s)[0]:
            return False
        texts.extend(record.text for record in parser.feed(os.read(fd, 2**20)))
        return True

    def receive() -> bool:
        """The answers to all three; whether the last one was given back."""
        answered = 0
        while answered < 3:
            message = its.peer.receive().message
            if isinstance(message, TasksReturned):
                return True
            assert isinstance(message, TaskResults)
            answered += len(message.outcomes)
        return False

    def flood(serial: int) -> bool:
        its.give(("flood", 120_000), ("flood", 60_000), ("echo", 3), first=serial)
        with ThreadPoolExecutor(1) as pool:
            received = pool.submit(receive)
            while not received.done():
                read_output(0.001)
                running = its.peer.child.page.read()
                if running is not None and running.index == serial + 1:
                    its.peer.child.page.take_back(serial + 2)
        while read_output(0):
            pass
        kept = sum(text.isdigit() for text in texts)
        told = sum(int(note[1]) for note in map(DROPPED.match, texts) if note)
        assert kept + told == (serial + 2) // 3 * 180_000
        return received.result()

    assert any(flood(serial) for serial in range(1, 31, 3))


def test_a_write_into_shared_data_fails_what_was_not_taken_back(
    process: Callable[..., Process],
) -> None:
    its = process()
    its.peer.send(SharedData("j", 0), [msgpack.packb({"x": 1})])
    its.give(("echo", 1), ("write", 2), ("gate", 2), ("echo", 3))
    its.wait_running(2)
    its.peer.child.page.take_back(4)
    its.open_gate()
    frames = [its.peer.receive()]
    while sum(len(frame.message.outcomes) for frame in frames) < 3:  # type: ignore[union-attr]
        frames.append(its.peer.receive())
    outcomes = [each for frame in frames for each in frame.message.outcomes]  # type: ignore[union-attr]
    assert [each.index for each in outcomes] == [0, 1, 2]
    assert outcomes[1].status is Status.FAILED
    its.peer.wait_exit()


def test_a_frame_of_many_results_is_sent_in_time_and_in_order(
    process: Callable[..., Process],
) -> None:
    its = process()
    count = limits.TASKS_PER_FRAME_MAX
    its.give(*[("size", 3_000)] * count)
    sizes: list[list[int]] = []
    while sum(map(len, sizes)) < count:
        sizes.append([len(value) for value in its.values()])  # type: ignore[arg-type]
    assert len(sizes) > 1, "more than can be shown"
    assert all(sum(some) <= task_runner.SEND_BYTES for some in sizes)
