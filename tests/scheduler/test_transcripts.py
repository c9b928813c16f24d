"""Transcripts: what the scheduler does, one rule in a file, for people to read.

Each block is a step: commands (one event each), ``----``, and everything that the scheduler then
said and did.  ``MIDAS_REWRITE_TRANSCRIPTS=1 pytest tests/scheduler/test_transcripts.py`` writes
down what happens now; whoever does that reads the difference.

Peers go by the labels that their first command gives them; tasks are written job/round/index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from midas_mp.scheduler import invariants
from midas_mp.scheduler.events import Event, PeerGreeted, PeerLost, Ready, Received
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.wire.framing import Frame, size_bytes
from midas_mp.wire.management import (
    Action,
    Control,
    ControlAnswered,
    JobsListed,
    KillWorker,
    ListJobs,
    PauseJob,
    PauseWorker,
)
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    BeginJob,
    Call,
    CancelTasks,
    DropBundles,
    EndJob,
    FetchShared,
    Goodbye,
    Hello,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    LimitTasks,
    NodeLeaving,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TaskRunning,
    TasksCancelled,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerUp,
)
from midas_mp.wire.vocabulary import AnyMessage

FOLDER: Final = Path(__file__).parent / "transcripts"
DIGEST: Final = "d" * 64


# -- numbers ---------------------------------------------------------------------------------


def numbers(text: str) -> list[int]:
    """``0-3,7`` → 0 1 2 3 7."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def spans(values: Iterable[int]) -> str:
    """0 1 2 3 7 → ``0-3,7``."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def refs(text: str) -> list[TaskRef]:
    """``a/0/1-2+b/0/7`` → three tasks; ``nothing`` is none."""
    if text == "nothing":
        return []
    found = []
    for part in text.split("+"):
        job, round_, indices = part.split("/")
        found += [TaskRef(job, int(round_), index) for index in numbers(indices)]
    return found


# -- what is done ----------------------------------------------------------------------------


class Stage:
    """A scheduler, its peers by label, and a clock that only ``wait`` moves."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(release="1.0")
        self.now = 0.0
        self.peers: dict[str, int] = {}
        self.labels: dict[int, str] = {}
        self.node_ids: dict[str, str] = {}
        self.wake_at: float | None = None
        self.woken: list[str] = []
        """What happened while time went by."""

    def run(self, commands: list[str]) -> list[str]:
        """One step; everything that happened, as lines."""
        if commands == ["show"]:
            return self.show()
        events: list[Event] = []
        for command in commands:
            verb, *arguments = command.split()
            words = [word for word in arguments if "=" not in word]
            options = dict(word.split("=", 1) for word in arguments if "=" in word)
            event = getattr(self, f"do_{verb}")(*words, **options)
            events += event if isinstance(event, list) else [event]
        told = self.woken
        self.woken = []
        return told + self.step(events) or ["(nothing)"]

    def step(self, events: list[Event]) -> list[str]:
        ready = self.scheduler.step(events, self.now)
        invariants.check(self.scheduler.state)
        self.wake_at = ready.wake_at
        return list(self.tell(ready))

    def show(self) -> list[str]:
        """Who has what."""
        state = self.scheduler.state
        lines = []
        for worker in (worker for node in state.nodes.values() for worker in node.workers.values()):
            leased = [
                f"{job.id}/{round_}/{spans(t.index for t in tasks if t.batch.round == round_)}"
                for job, tasks in worker.leases.items()
                for round_ in sorted({task.batch.round for task in tasks})
            ]
            lines.append(f"{worker.name} is {worker.state} {' '.join(leased)}".rstrip())
        for job in state.jobs.values():
            counts = (job.waiting_count, job.leased_count, job.done_count)
            lines.append(f"job {job.id} is {job.state}: %d waiting, %d leased, %d done" % counts)
        return lines or ["(nobody)"]

    def said(
        self, peer: str, message: AnyMessage, buffers: list[bytes] | None = None, channel: int = 0
    ) -> Received:
        return Received(self.peers[peer], Frame(channel, message, buffers or []))

    def greet(
        self, label: str, role: Role, owner: str, *, token: str = "", **fields: Any
    ) -> PeerGreeted:
        peer = self.peers[label] = len(self.labels) + 1
        self.labels[peer] = label
        node_id = self.node_ids.setdefault(label, self.node_ids.get(owner, f"{peer:x}"))
        return PeerGreeted(
            peer,
            Hello(PROTOCOL_VERSION, role, "1.0", node_id, **({"name": owner} | fields)),
            token,
            may_manage=not token,
        )

    # -- commands ------------------------------------------------------------------------------

    def do_wait(self, seconds: str) -> list[Event]:
        end = self.now + float(seconds)
        while self.wake_at is not None and self.wake_at < end:
            self.now = self.wake_at
            self.woken += [line for line in self.step([]) if not line.startswith("wake in")]
        self.now = end
        return []

    def do_freeze(self, seconds: str) -> list[Event]:
        self.now += float(seconds)
        return []

    def do_node(
        self, label: str, explicit: str = "", *, workers: str = "0", again: str = "", name: str = ""
    ) -> Event:
        return self.greet(
            label,
            Role.LAUNCHER,
            again or label,
            name=name or again or label,
            name_is_explicit=bool(explicit),
            workers_announced=int(workers),
        )

    def do_client(self, label: str, *, again: str = "", token: str = "") -> Event:
        return self.greet(label, Role.CLIENT, again or label, token=token)

    def do_bulk(self, label: str, *, of: str) -> Event:
        return self.greet(label, Role.BULK, of)

    def do_lose(self, peer: str) -> Event:
        return PeerLost(self.peers[peer], "connection reset")

    def do_leaving(self, node: str, *reason: str, grace: str = "30") -> Event:
        return self.said(node, NodeLeaving(" ".join(reason) or "draining", float(grace)))

    def do_pause(self, client: str, target: str) -> Event:
        return self.said(client, Control(Action.PAUSE, target))

    def do_resume(self, client: str, target: str) -> Event:
        return self.said(client, Control(Action.RESUME, target))

    def do_kill(self, client: str, target: str) -> Event:
        return self.said(client, Control(Action.KILL, target))

    def do_jobs(self, client: str) -> Event:
        return self.said(client, ListJobs())

    def do_bye(self, peer: str, *reason: str) -> Event:
        return self.said(peer, Goodbye(" ".join(reason) or "done"))

    def do_up(
        self,
        node: str,
        channels: str,
        *,
        epoch: str = "0",
        engines: str = "luajit",
        held: str = "nothing",
    ) -> list[Event]:
        record = self.scheduler.state.nodes[self.peers[node]]
        return [
            self.said(
                node,
                WorkerUp(
                    channel,
                    f"{record.name}-{channel:03}",
                    int(epoch),
                    3,
                    engines.split(","),
                    refs(held),
                ),
            )
            for channel in numbers(channels)
        ]

    def do_down(
        self, node: str, channel: str, *, epoch: str = "0", running: str = "nothing"
    ) -> Event:
        task = next(iter(refs(running)), None)
        return self.said(node, WorkerDown(int(channel), int(epoch), "killed by SIGKILL", task))

    def do_open(
        self,
        client: str,
        job: str,
        *,
        engine: str = "luajit",
        workers_min: str = "1",
        factor: str = "0",
    ) -> list[Event]:
        spec = JobSpec(engine=engine, timeout_factor=float(factor))
        return [
            self.said(client, OpenJob(job, "", spec, int(workers_min))),
            self.said(client, PutBundle(job, DIGEST, "main.lua", []), [b"-- lua"]),
        ]

    def do_put(self, client: str, job: str, bundle: str) -> Event:
        return self.said(client, PutBundle(job, bundle * 64, "other.lua", []), [b"-- lua"])

    def do_drop(self, client: str, job: str, bundles: str) -> Event:
        return self.said(client, DropBundles(job, [bundle * 64 for bundle in bundles]))

    def do_submit(
        self, client: str, tasks: str, *, size: str = "8", bundle: str = DIGEST[0]
    ) -> list[Event]:
        found = refs(tasks)
        batches = [found[start : start + 256] for start in range(0, len(found), 256)]
        return [
            self.said(
                client,
                RunTasks(
                    batch[0].job,
                    batch[0].round,
                    1,
                    bundle * 64,
                    "f",
                    [Call(ref.index) for ref in batch],
                ),
                [bytes(int(size))] * len(batch),
            )
            for batch in batches
        ]

    def do_acknowledge(self, client: str, tasks: str) -> Event:
        found = refs(tasks)
        indices = [ref.index for ref in found]
        return self.said(client, Acknowledge(found[0].job, found[0].round, indices))

    def do_cancel(self, client: str, tasks: str) -> Event:
        found = refs(tasks)
        indices = [ref.index for ref in found]
        return self.said(client, CancelTasks(found[0].job, found[0].round, indices))

    def do_end(self, client: str, job: str, *reason: str) -> Event:
        return self.said(client, EndJob(job, " ".join(reason)))

    def do_done(
        self, node: str, channel: str, tasks: str, *, ms: str = "1", size: str = "8"
    ) -> Event:
        found = refs(tasks)
        outcomes = [Outcome(ref.index, 0, Status.OK, int(float(ms) * 1_000)) for ref in found]
        message = TaskResults(found[0].job, found[0].round, f"{node}-{int(channel):03}", outcomes)
        return self.said(node, message, [bytes(int(size))] * len(found), int(channel))

    def do_return(self, node: str, channel: str, tasks: str) -> Event:
        return self.said(node, TasksReturned(refs(tasks)), channel=int(channel))

    def do_print(self, node: str, channel: str, task: str, *text: str) -> Event:
        (ref,) = refs(task)
        message = TaskPrinted(ref.job, ref.round, ref.index, f"{node}-{int(channel):03}")
        return self.said(node, message, [" ".join(text).encode()], int(channel))

    def do_progress(self, node: str, channel: str, task: str, fraction: str) -> Event:
        (ref,) = refs(task)
        message = TaskProgress(ref.job, ref.round, ref.index, float(fraction))
        return self.said(node, message, channel=int(channel))

    def do_running(self, node: str, channel: str, task: str, seconds: str) -> Event:
        (ref,) = refs(task)
        worker = f"{node}-{int(channel):03}"
        message = TaskRunning(ref.job, ref.round, ref.index, worker, float(seconds))
        return self.said(node, message, channel=int(channel))

    def do_offer(self, client: str, what: str, *, sizes: str) -> Event:
        job, round_ = what.split("/")
        return self.said(client, OfferShared(job, int(round_), numbers(sizes)))

    def do_part(self, bulk: str, what: str, *, offset: str = "0", size: str) -> Event:
        job, round_ = what.split("/")
        return self.said(bulk, SharedPart(job, int(round_), int(offset)), [bytes(int(size))])

    def do_fetch(self, bulk: str, what: str, *, offset: str = "0") -> Event:
        job, round_ = what.split("/")
        return self.said(bulk, FetchShared(job, int(round_), int(offset)))

    def do_holds(self, node: str, what: str, *, size: str) -> Event:
        job, round_ = what.split("/")
        return self.said(node, SharedHeld(job, int(round_), "", int(size)))

    def do_babble(self, peer: str) -> Event:
        """Something that is for a host to say."""
        return self.said(peer, JobStarted("a", 1))

    # -- what happened -------------------------------------------------------------------------

    def tell(self, ready: Ready) -> Iterable[str]:
        for peer, frames in ready.outbox:
            for frame in frames:
                to = self.labels[peer] + (f"/{frame.channel}" if frame.channel else "")
                yield f"to {to}: {describe(frame)}"
        for job, round_ in ready.stops:
            yield f"stop streaming {job}/{round_}"
        for transfer in ready.transfers:
            what = f"{transfer.job}/{transfer.round} from byte {transfer.offset}"
            yield f"stream to {self.labels[transfer.peer]}: {what}"
        for peer, reason in ready.drops:
            yield f"drop {self.labels[peer]}: {reason}"
        for notice in ready.notices:
            yield f"notice: {notice}"
        if ready.wake_at is not None:
            yield f"wake in {ready.wake_at - self.now:.3f} s"


def describe(frame: Frame) -> str:
    """One message on one line."""
    message: Any = frame.message
    name = type(message).__name__
    return f"{name} {_DETAILS[type(message)](message, frame)}".rstrip()


def run_tasks(message: RunTasks) -> str:
    attempts: dict[int, list[int]] = {}
    for call in message.calls:
        attempts.setdefault(call.attempt, []).append(call.index)
    parts = [
        spans(indices) + (f" (attempt {attempt})" if attempt else "")
        for attempt, indices in attempts.items()
    ]
    return f"{message.job}/{message.round}/" + " and ".join(parts)


def task_results(message: TaskResults) -> str:
    statuses: dict[str, list[int]] = {}
    for outcome in message.outcomes:
        statuses.setdefault(outcome.status.name, []).append(outcome.index)
    parts = [f"{spans(indices)} {status}" for status, indices in statuses.items()]
    return f"{message.job}/{message.round}/{' and '.join(parts)} by {message.worker}"


_Detail = Callable[[Any, Frame], str]

_DETAILS: Final[dict[type[Any], _Detail]] = {
    Welcome: lambda m, _: f"{m.name}, epoch {m.epoch}",
    Refused: lambda m, _: f"({m.code}) {m.reason}",
    Goodbye: lambda m, _: f"({m.code}) {m.reason}",
    JobOpened: lambda m, _: f"{m.job}: credit {m.credit_tasks}",
    JobStarted: lambda m, _: f"{m.job}: workers {m.workers}",
    JobStatus: lambda m, _: f"{m.job}: workers {m.workers}, credit {m.credit_tasks} {m.notice}",
    JobEnded: lambda m, _: f"{m.job}: ({m.code}) {m.reason}",
    BeginJob: lambda m, _: m.job,
    EndJob: lambda m, _: f"{m.job}: {m.reason}",
    PutBundle: lambda m, _: m.job + (f" {m.digest[0]}" if m.digest != DIGEST else ""),
    DropBundles: lambda m, _: f"{m.job} {''.join(digest[0] for digest in m.digests)}",
    RunTasks: lambda m, _: run_tasks(m),
    TaskResults: lambda m, _: task_results(m),
    LimitTasks: lambda m, _: f"{m.job}/{m.round}: {m.timeout_s:.2f} s",
    ControlAnswered: lambda m, _: f"({m.result.name}) {m.sentence}",
    KillWorker: lambda m, _: f"process {m.epoch}: {m.reason}",
    PauseJob: lambda m, _: f"{m.job} {'stop' if m.is_paused else 'go on'}",
    PauseWorker: lambda m, _: "stop" if m.is_paused else "go on",
    JobsListed: lambda m, _: ", ".join(f"{job.job} {job.state}" for job in m.jobs),
    RecallTasks: lambda m, _: str(m.count),
    CancelTasks: lambda m, _: f"{m.job}/{m.round}/{spans(m.indices)}",
    TasksCancelled: lambda m, _: f"{m.job}/{m.round}/{spans(m.indices)}",
    TaskRunning: lambda m, _: f"{m.job}/{m.round}/{m.index}: {m.elapsed_s:g} s on {m.worker}",
    TaskPrinted: lambda m, f: f"{m.job}/{m.round}/{m.index}: {bytes(f.buffers[0]).decode()}",
    TaskProgress: lambda m, _: f"{m.job}/{m.round}/{m.index}: {m.fraction}",
    OfferShared: lambda m, _: f"{m.job}/{m.round}: {sum(m.sizes)} bytes",
    FetchShared: lambda m, _: f"{m.job}/{m.round} from byte {m.offset}",
    SharedPart: lambda m, f: f"{m.job}/{m.round} from byte {m.offset}, {size_bytes(f.buffers)}",
    SharedHeld: lambda m, _: f"{m.job}/{m.round}: {m.received_bytes} bytes on {m.node}",
}


# -- files -----------------------------------------------------------------------------------


def perform(text: str) -> str:
    """The transcript as it should be: the same comments and commands, what happens now."""
    stage = Stage()
    written: list[str] = []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        if all(line.startswith("#") for line in lines):
            written.append(block)
            continue
        commands = lines[: lines.index("----")] if "----" in lines else lines
        told = stage.run([line for line in commands if not line.startswith("#")])
        written.append("\n".join([*commands, "----", *told]))
    return "\n\n".join(written) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "a transcript begins with the rule that it shows"
    performed = perform(text)
    if os.environ.get("MIDAS_REWRITE_TRANSCRIPTS"):
        path.write_text(performed, encoding="utf-8")
    assert performed == path.read_text(encoding="utf-8")


def test_there_are_transcripts() -> None:
    assert any(FOLDER.glob("*.txt"))


def test_lists_of_numbers_are_read_as_they_are_written() -> None:
    assert numbers("0-3,7") == [0, 1, 2, 3, 7]
    assert spans([0, 1, 2, 3, 7, 6]) == "0-3,7,6"
