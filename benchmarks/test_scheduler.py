"""What does one task cost in the scheduler: submitted, leased, finished, acknowledged?

Launchers and clients are simulated in the loop, 64 tasks in a frame; the time of the simulation
itself is taken off.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from midas_mp.scheduler.events import Event, PeerGreeted, Received
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    Call,
    Hello,
    JobSpec,
    OpenJob,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskResults,
    WorkerUp,
)

CLIENT, DIGEST, BATCH = 1, "d" * 64, 64
WORKERS_PER_NODE = 8


class Loop:
    """A scheduler between one client and launchers whose workers need no time."""

    def __init__(self, worker_count: int, duration_us: int) -> None:
        self.scheduler = Scheduler()
        self.duration_us = duration_us
        self.inside_s = 0.0
        self.outbox: list[tuple[int, list[Frame]]] = []
        node_count = -(-worker_count // WORKERS_PER_NODE)
        self.step([PeerGreeted(CLIENT, Hello(PROTOCOL_VERSION, Role.CLIENT, "1", "c", "client"))])
        for number in range(node_count):
            peer, name = number + 2, f"node{number}"
            hello = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", f"{number:x}", name)
            self.step([PeerGreeted(peer, hello)])
            for channel in range(1, min(WORKERS_PER_NODE, worker_count) + 1):
                up = WorkerUp(channel, f"{name}-{channel}", 0, 3, ["luajit"])
                self.step([Received(peer, Frame(0, up))])
        self.step([Received(CLIENT, Frame(0, OpenJob("job", "", JobSpec())))])
        self.step([Received(CLIENT, Frame(0, PutBundle("job", DIGEST, "m", []), [b""]))])
        credit = self.scheduler.state.jobs["job"].credit_max
        self.in_flight_max = min(credit, 256 * worker_count)

    def step(self, events: list[Event]) -> None:
        start = perf_counter()
        ready = self.scheduler.step(events, 0.0)
        self.inside_s += perf_counter() - start
        self.outbox += ready.outbox

    def run(self, task_count: int) -> None:
        """Have so many tasks done."""
        submitted = acknowledged = 0
        self.inside_s = 0.0
        while acknowledged < task_count:
            events: list[Event] = []
            while submitted < task_count and submitted - acknowledged + BATCH <= self.in_flight_max:
                calls = [Call(index) for index in range(submitted, submitted + BATCH)]
                message = RunTasks("job", 0, task_count, DIGEST, "execute_code", calls)
                events.append(Received(CLIENT, Frame(0, message, [b"payload"] * BATCH)))
                submitted += BATCH
            outbox, self.outbox = self.outbox, []
            for peer, frames in outbox:
                for channel, message, _ in frames:
                    if isinstance(message, TaskResults):
                        done = [outcome.index for outcome in message.outcomes]
                        acknowledged += len(done)
                        events.append(
                            Received(CLIENT, Frame(0, Acknowledge("job", message.round, done)))
                        )
                    elif isinstance(message, RunTasks):
                        events += self._results(peer, channel, message)
            self.step(events)

    def _results(self, peer: int, channel: int, message: RunTasks) -> list[Event]:
        events: list[Event] = []
        for start in range(0, len(message.calls), BATCH):
            outcomes = [
                Outcome(call.index, call.attempt, Status.OK, self.duration_us)
                for call in message.calls[start : start + BATCH]
            ]
            results = TaskResults("job", message.round, "w", outcomes)
            events.append(Received(peer, Frame(channel, results, [b"result"] * len(outcomes))))
        return events


@pytest.mark.parametrize("worker_count", [2, 16, 256])
@pytest.mark.parametrize("duration_us", [10, 1_000], ids=["short", "1ms"])
def test_time_per_task(worker_count: int, duration_us: int, record: Any, quick: bool) -> None:
    loop = Loop(worker_count, duration_us)
    task_count = 64 * (16 if quick else 1_024)
    loop.run(task_count)  # the estimate is settled, caches are warm

    def run() -> float:
        loop.run(task_count)
        return loop.inside_s

    case = f"{worker_count} workers, tasks of {duration_us} µs"
    record("Midas scheduler", case, run, unit="µs", amount=task_count)
    assert loop.scheduler.statistics().tasks_leased == 0
