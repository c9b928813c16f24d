"""Simulated Lua processes: they take what a launcher sends, compute in virtual time, and die.

A process does what ``participant.worker`` does behind a ``participant.process.LuaProcess``: it
takes frames in order, says what it runs, shares a frame among fast results, and whatever it sent
before its end arrives before its end does.  It knows which frames must come before a task, and
objects when they did not; which shared data it had, it says in its answer.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.lua.output import Printed
from midas_mp.participant.child import ChildExit
from midas_mp.participant.process import ProcessEnd, ProcessListener
from midas_mp.participant.standstill import Standstill
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.unsent_results import UnsentResult
from midas_mp.participant.vital_signs import VitalSigns
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.testing import orders as tasks
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Site
from midas_mp.testing.orders import Orders
from midas_mp.testing.trace import Trace, outline
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Buffer, Frame, FrameDecoder, encode, payloads
from midas_mp.wire.local import SharedData, WorkerReady
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    DropBundles,
    EndJob,
    Failure,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
)

START_S: Final = 0.01
HOP_S: Final = 0.0001
"""From a process to its launcher, or back."""

SIGNAL_S_MAX: Final = 0.004
"""Until a kill has gone through the zygote; results may still be sent meanwhile."""

SEND_INTERVAL_S: Final = limits.FRAME_TIME_S_MAX
WATCH_INTERVAL_S: Final = 0.06
PEAK_BYTES: Final = 50 * 2**20

Blamed = dict[tuple[str, int, int], int]
"""How often each task was running when its process died, and not because somebody wanted it."""


class Ground(NamedTuple):
    """What the processes of one node share.

    Attributes:
        speed: how fast they compute.
        engines: what they say they have.
        blamed: where deaths are noted.
        is_bad: whether every task takes its process down.
    """

    site: Site
    rng: Chance
    trace: Trace
    speed: float
    engines: list[str]
    blamed: Blamed
    object_to: Callable[[str], None]
    is_bad: bool = False


class SimulatedSupervisor:
    """Starts simulated processes; what a launcher needs of ``participant.process.Supervisor``."""

    def __init__(self, ground: Ground) -> None:
        self.processes: dict[SimulatedProcess, None] = {}
        self._ground = ground
        self._pid_last = 0

    def start(self, spec: ChildSpec, listener: ProcessListener) -> SimulatedProcess:
        self._pid_last += 1
        process = SimulatedProcess(spec, listener, self._ground, self._pid_last, self.forget)
        self.processes[process] = None
        return process

    def forget(self, process: SimulatedProcess) -> None:
        self.processes.pop(process, None)

    def close(self) -> None:
        """All are gone at once; nobody is told."""
        for process in list(self.processes):
            process.vanish()
        self.processes.clear()


class _Run(NamedTuple):
    """A RunTasks frame that is being worked off."""

    order: RunTasks
    calls: deque[tuple[Call, bytes]]


class SimulatedProcess:
    """One worker process; what a launcher needs of ``participant.process.LuaProcess``."""

    def __init__(
        self,
        spec: ChildSpec,
        listener: ProcessListener,
        ground: Ground,
        pid: int,
        forget: Callable[[SimulatedProcess], None],
    ) -> None:
        self.name = spec.name
        self.killed_on_purpose = False
        self.is_stopped = False
        """Somebody sent it SIGSTOP, and it is never continued."""
        self.is_paused = False
        """Its launcher made it stand still, for now."""
        self.deadline_s = 0.0
        self._standstill = Standstill()
        self._postponed: list[Callable[[], None]] = []
        """What it would have done meanwhile."""
        self._listener = listener
        self._ground = ground
        self._pid = pid
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        # the launcher's end, and the process' own
        self._saying = Conversation(Role.LAUNCHER, Role.WORKER)
        self._answering = Conversation(Role.WORKER, Role.LAUNCHER)
        self._decoder = FrameDecoder(self._answering)
        self._upward: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_output_paused = False
        self._pipe: list[Printed] = []
        # the process
        self._inbox: deque[Frame] = deque()
        self.jobs: dict[str, set[str]] = {}
        """What it was told of jobs that have not ended: their bundles."""
        self._shared: dict[str, str] = {}
        self._run: _Run | None = None
        self._running: RunningTask | None = None
        self._orders: Orders | None = None
        self._serial = 0
        self._takes_s = 0.0
        """What it runs, from beginning to end."""
        self._taken_back_to = 0
        self._outcomes: list[Outcome] = []
        self._results: list[bytes] = []
        self._sent_at = 0.0
        self._overdue: RunningTask | None = None
        self._is_stepping = False
        self._exit: ChildExit | None = None
        self._act_after(START_S * (0.5 + ground.rng.random()), self._get_ready)

    # -- the launcher's side ---------------------------------------------------------------------

    def send(self, frames: Sequence[Frame]) -> None:
        if self._is_over:
            return
        for frame in frames:
            self._saying.sending(frame)
        received = self._decoder.feed(b"".join(b"".join(encode(frame)) for frame in frames))
        if self._exit is None:
            self._ground.trace.note(self.name, "▷", outline(received))
            self._inbox += received
            self._step_soon(HOP_S)

    def running(self) -> RunningTask | None:
        return self._running

    def unsent(self, first: int, running: RunningTask) -> list[UnsentResult]:
        count = running.serial - first
        if self._running != running or count <= 0 or count != len(self._outcomes):
            return []
        self._read_pipe()
        self._ground.trace.count("results taken early", count)
        pairs = zip(self._outcomes, self._results, strict=True)
        return [UnsentResult(each.status, each.duration_us, [result]) for each, result in pairs]

    def take_back(self, serial: int) -> None:
        self._ground.trace.count("calls asked back", serial - self._serial)
        self._taken_back_to = serial

    def pause(self) -> None:
        self._ground.trace.note(self.name, "is paused")
        self.is_paused = True
        self._standstill.begin(self._now_ns())

    def resume(self) -> None:
        self._ground.trace.note(self.name, "goes on")
        self.is_paused = False
        self._standstill.end(self._now_ns())
        postponed, self._postponed = self._postponed, []
        for act in postponed:
            self._after(HOP_S, act)

    def time_spent_ns(self, running: RunningTask, now_ns: int) -> int:
        began_ns = running.started_ns
        return now_ns - began_ns - self._standstill.ns_between(began_ns, now_ns)

    def _now_ns(self) -> int:
        return int(self._loop.time() * 1e9)

    def kill(self) -> None:
        self.killed_on_purpose = True
        self._after(self._ground.rng.uniform(0, SIGNAL_S_MAX), lambda: self.die(signal.SIGKILL))

    def stop_call(self, running: RunningTask) -> None:
        serial = running.serial
        delay_s = self._ground.rng.uniform(0, SIGNAL_S_MAX)
        self._after(delay_s, lambda: self._kill_if_at(serial))

    def vital_signs(self) -> VitalSigns | None:
        is_ready = self._answering.is_open
        return VitalSigns("T", self._serial) if self.is_stopped and is_ready else None

    def put_away(self, why: str, *, is_blameless: bool) -> None:
        self._ground.trace.note(self.name, "is put away:", why)
        self._ground.trace.count("frozen workers put away")
        self.killed_on_purpose = is_blameless
        self._after(self._ground.rng.uniform(0, SIGNAL_S_MAX), lambda: self.die(signal.SIGKILL))

    def limit(self, deadline_s: float) -> None:
        has_changed, self.deadline_s = deadline_s != self.deadline_s, deadline_s
        if has_changed and deadline_s and self._running is not None:
            serial = self._running.serial
            self._after(WATCH_INTERVAL_S, lambda: self._kill_overdue(serial))

    def pause_output(self) -> None:
        self._is_output_paused = True

    def resume_output(self) -> None:
        self._is_output_paused = False
        self._read_pipe()
        if self._run is not None and self._running is None:
            self._step_soon(HOP_S)

    # -- the world's side ------------------------------------------------------------------------

    def die(self, signum: int) -> None:
        """A signal ends it now; what it sent before still arrives."""
        if self._is_gone:
            return
        self._ground.trace.note(self.name, "dies of", signal.Signals(signum).name)
        self._exit = ChildExit(self.name, self._pid, None, signum, PEAK_BYTES)
        if not self.killed_on_purpose or signum != signal.SIGKILL:
            self._ground.trace.count("process deaths")
            if self._orders is not None:
                blamed = self._ground.blamed
                blamed[self._orders.name] = blamed.get(self._orders.name, 0) + 1
        self._inbox.clear()
        self._tell(self._conclude)

    def vanish(self) -> None:
        self._is_over = True

    # -- the process: what it does next ----------------------------------------------------------

    def _get_ready(self) -> None:
        self._say(Frame(0, WorkerReady(self._pid, 0, self._ground.engines)))
        self._step_soon(HOP_S)

    def _act_after(self, delay_s: float, act: Callable[[], None]) -> None:
        """It does that itself then, or when it goes on."""

        def act_now() -> None:
            if self.is_paused:
                self._postponed.append(act_now)
            elif not self.is_stopped:
                act()

        self._after(delay_s, act_now)

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do it then, if the process lives."""
        self._ground.site.soon(delay_s, lambda: None if self._is_gone else act())

    @property
    def _is_gone(self) -> bool:
        return self._exit is not None or self._is_over

    def _step_soon(self, delay_s: float) -> None:
        if not self._is_stepping:
            self._is_stepping = True
            self._act_after(delay_s, self._step)

    def _step(self) -> None:
        """Takes frames until one gives it something to compute."""
        self._is_stepping = False
        if self._running is not None:
            return
        while self._run is None and self._inbox:
            frame = self._inbox.popleft()
            if isinstance(frame.message, RunTasks):
                self._begin_run(frame.message, frame.buffers)
            else:
                self._obey(frame)
        if self._run is not None:
            self._begin_call(self._run)

    def _obey(self, frame: Frame) -> None:
        match frame.message:
            case BeginJob(job=job):
                if job in self.jobs:
                    self._object("a job begins twice")
                self.jobs[job] = set()
            case EndJob(job=job):
                self.jobs.pop(job, None)
                self._shared.pop(job, None)
            case PutBundle(job=job, digest=digest):
                self._known(job).add(digest)
            case DropBundles(job=job, digests=digests):
                self._known(job).difference_update(digests)
                self._ground.trace.count("bundles dropped by processes", len(digests))
            case SharedData(job=job):
                self._known(job)
                self._shared[job] = tasks.fingerprint(frame.buffers)
            case message:
                self._object(f"a worker does not take {type(message).__name__}")

    def _known(self, job: str) -> set[str]:
        if job not in self.jobs:
            self._object("a frame of a job that did not begin here")
        return self.jobs.setdefault(job, set())

    def _begin_run(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        if order.digest not in self._known(order.job):
            self._object("tasks whose bundle never came")
        calls = deque((call, bytes(b"".join(own))) for call, own in payloads(order.calls, buffers))
        self._run = _Run(order, calls)
        self._sent_at = self._loop.time()

    def _begin_call(self, run: _Run) -> None:
        if self._serial < self._taken_back_to:
            self._give_back(run)
            return
        call, payload = run.calls[0]
        orders = tasks.decode(payload)
        if orders.prints and self._pipe:
            return  # the pipe is full, and nobody reads
        run.calls.popleft()
        self._orders = orders
        self._serial += 1
        now = self._loop.time()
        self._running = RunningTask(self._serial, run.order.round, call.index, int(now * 1e9))
        if (run.order.round, call.index) != (orders.round, orders.index):
            self._object(f"task {call.index} with the payload of {orders.name}")
        if run.order.digest != tasks.bundle(orders.bundle).digest:
            self._object(f"task {call.index} of another bundle")
        self._ground.trace.note(self.name, "runs", *orders.name, f"attempt={call.attempt}")
        self._ground.trace.count("executions")
        for text in orders.printed():
            self._print(Printed(run.order.job, orders.round, orders.index, text))
        seconds = orders.seconds / self._ground.speed
        if call.attempt < orders.crashes or self._ground.is_bad:
            self._act_after(seconds / 2, lambda: self.die(signal.SIGSEGV))
            return
        serial = self._serial
        self._takes_s = seconds
        if self._is_too_long:
            overrun_s = self._ground.rng.uniform(0, WATCH_INTERVAL_S)
            self._act_after(self.deadline_s + overrun_s, lambda: self._kill_overdue(serial))
        self._act_after(seconds, lambda: self._end_call(run, call, orders, now))

    def _give_back(self, run: _Run) -> None:
        """It is to begin none of these any more."""
        refs = [TaskRef(run.order.job, run.order.round, call.index) for call, _ in run.calls]
        self._serial += len(refs)
        self._run = None
        if self._outcomes:
            self._send_results(run.order)
        self._say(Frame(0, TasksReturned(refs)))
        self._step_soon(0)

    @property
    def _is_too_long(self) -> bool:
        """Whether what it runs takes longer than it may."""
        return 0 < self.deadline_s < self._takes_s

    def _kill_if_at(self, serial: int) -> None:
        if self._running is not None and self._running.serial == serial:
            self._ground.trace.count("calls stopped")
            self.killed_on_purpose = True
            self.die(signal.SIGKILL)

    def _kill_overdue(self, serial: int) -> None:
        """Unless it may go on for a while by now, or is about to end: time in which its machine
        stood still is not its own.
        """
        running = self._running
        if running is None or running.serial != serial or not self._is_too_long:
            return
        left_s = self.deadline_s - self.time_spent_ns(running, self._now_ns()) / 1e9
        if left_s > 0:
            self._act_after(left_s + HOP_S, lambda: self._kill_overdue(serial))
            return
        self._overdue = running
        self.killed_on_purpose = True
        self.die(signal.SIGKILL)

    def _end_call(self, run: _Run, call: Call, orders: Orders, began_at: float) -> None:
        self._running = self._orders = None
        now = self._loop.time()
        status, result = self._result(run.order, orders)
        duration_us = int((now - began_at) * 1e6)
        self._outcomes.append(Outcome(call.index, call.attempt, status, duration_us))
        self._results.append(result)
        if not run.calls or now - self._sent_at > SEND_INTERVAL_S:
            self._send_results(run.order)
        if run.calls:
            self._begin_call(run)
        else:
            self._run = None
            self._step_soon(0)

    def _result(self, order: RunTasks, orders: Orders) -> tuple[Status, bytes]:
        shared = self._shared.get(order.job, "") if orders.shared else ""
        if orders.fails:
            return Status.FAILED, Failure("runtime", "as it was told").to_payload()
        return Status.OK, tasks.answer(orders, shared)

    def _send_results(self, order: RunTasks) -> None:
        message = TaskResults(order.job, order.round, self.name, self._outcomes)
        self._say(Frame(0, message, self._results))
        self._outcomes, self._results = [], []
        self._sent_at = self._loop.time()

    def _print(self, record: Printed) -> None:
        def arrive() -> None:
            self._pipe.append(record)
            if not self._is_output_paused:
                self._read_pipe()

        self._tell(arrive)

    def _object(self, what: str) -> None:
        self._ground.trace.note(self.name, "objects:", what)
        self._ground.object_to(f"{self.name}: {what}")

    # -- from the process to its launcher ----------------------------------------------------------

    def _say(self, frame: Frame) -> None:
        self._answering.sending(frame)
        self._tell(lambda: self._hand_over(frame))

    def _tell(self, arrive: Callable[[], None]) -> None:
        """Things arrive in the order in which they were told."""
        at = self._loop.time() + HOP_S
        if not self._upward:
            self._ground.site.at(at, self._arrive)
        self._upward.append((at, arrive))

    def _arrive(self) -> None:
        while self._upward and self._upward[0][0] <= self._loop.time() and not self._is_over:
            self._upward.popleft()[1]()
        if self._upward and not self._is_over:
            self._ground.site.at(self._upward[0][0], self._arrive)

    def _hand_over(self, frame: Frame) -> None:
        self._read_pipe()
        self._saying.receive(frame)
        copied = FrameDecoder().feed(b"".join(encode(frame)))
        self._listener.process_frames(self, copied)  # type: ignore[arg-type]

    def _read_pipe(self) -> None:
        records, self._pipe = self._pipe, []
        if records and not self._is_over:
            self._listener.process_output(self, records)  # type: ignore[arg-type]

    def _conclude(self) -> None:
        assert self._exit is not None
        self._read_pipe()
        self._is_over = True
        running = None if self.killed_on_purpose else self._running
        self._forget(self)
        end = ProcessEnd(self._exit, running, self._overdue, "")
        self._listener.process_ended(self, end)  # type: ignore[arg-type]
