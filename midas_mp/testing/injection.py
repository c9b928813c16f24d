"""Harms a cluster of real processes on a seed: what ``LocalCluster(faults=Faults(...))`` does.

    Injector ── SIGKILL, SIGSTOP, SIGCONT ──▶ host, participants, workers
        └────── cut, swallow ──▶ Proxy, through which all connections go

Each kind of blow comes at random times of its own, and what it did is undone after a while: who was
killed is started again, as a service manager would, who was frozen goes on, a black hole closes.
Blows may also be dealt one by one.  After ``stop`` all is well again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import enum
import heapq
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import psutil

from midas_mp.errors import UsageError
from midas_mp.testing.chance import Chance
from midas_mp.testing.proxy import BadLine, Proxy, Way
from midas_mp.transport import loop
from midas_mp.transport.address import Address

DOWN_S_MAX: Final = 1.0
"""Who was killed is started again within this time."""


class Blow(enum.StrEnum):
    """What can be done to a cluster."""

    KILL_WORKER = "worker kills"
    KILL_PARTICIPANT = "participant kills"
    FREEZE_PARTICIPANT = "participant freezes"
    KILL_HOST = "host kills"
    FREEZE_HOST = "host freezes"
    CUT = "cuts"
    BLACK_HOLE = "black holes"


class Faults(NamedTuple):
    """What goes wrong, how often: mean seconds from one time to the next, 0 is never.

    Attributes:
        seed: of all that is left to chance.
        line: what connections to the host are like.
        standstill_s_max: how long a freeze or a black hole may last; what lasts longer than some
            15 s is noticed, what is shorter is sat out.
    """

    seed: int = 0
    kill_worker_s: float = 0.0
    kill_participant_s: float = 0.0
    freeze_participant_s: float = 0.0
    kill_host_s: float = 0.0
    freeze_host_s: float = 0.0
    cut_s: float = 0.0
    black_hole_s: float = 0.0
    line: BadLine = BadLine()
    standstill_s_max: float = 20.0

    @property
    def intervals(self) -> dict[Blow, float]:
        """Of those that come by themselves."""
        every = [
            *(self.kill_worker_s, self.kill_participant_s, self.freeze_participant_s),
            *(self.kill_host_s, self.freeze_host_s, self.cut_s, self.black_hole_s),
        ]
        return {blow: seconds for blow, seconds in zip(Blow, every, strict=True) if seconds}


class Member(Protocol):
    """A process of the cluster."""

    @property
    def pid(self) -> int: ...

    @property
    def is_alive(self) -> bool: ...

    def kill(self) -> None: ...

    def restart(self) -> None: ...


class Victim(Protocol):
    """A cluster."""

    @property
    def host(self) -> Member: ...

    @property
    def participants(self) -> Sequence[Member]: ...


class ProxyThread:
    """A proxy in a thread of its own: it listens when this is made.

    Raises:
        OSError: it cannot listen.
    """

    def __init__(self, target: Address, line: BadLine, seed: int) -> None:
        self.proxy = Proxy(target, line, seed=seed)
        self._is_closed = False
        self._loop = loop.new_event_loop()
        self._listening: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="midas proxy", daemon=True)
        self._thread.start()
        self._listening.result()

    def call(self, act: Callable[[], object]) -> None:
        """Does something to the proxy, soon."""
        if not self._is_closed:
            self._loop.call_soon_threadsafe(act)

    def mend(self) -> None:
        """From now on it is a good network."""
        self.proxy.line = BadLine()
        self.call(self.proxy.heal)

    def close(self) -> None:
        """Idempotent."""
        self.call(self._closing.set)
        self._is_closed = True
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except OSError as error:
                if self._listening.done():
                    raise
                self._listening.set_exception(error)

    async def _serve(self) -> None:
        async with self.proxy:
            self._listening.set_result(None)
            await self._closing.wait()


class Injector:
    """Deals blows to a cluster, from a thread of its own.

    Args:
        victim: the cluster.
        faults: what shall go wrong.
        proxy: what its connections go through, if anything.

    """

    def __init__(self, victim: Victim, faults: Faults, proxy: ProxyThread | None = None) -> None:
        self._dealt: Counter[str] = Counter()
        self._victim = victim
        self._faults = faults
        self._proxy = proxy
        self._rng = Chance(f"faults {faults.seed}")
        self._changed = threading.Condition(threading.RLock())
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._undoings: dict[int, Callable[[], None]] = {}
        """What is still to be undone, by the number of its blow."""
        self._zygotes: dict[int, psutil.Process] = {}
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="midas faults", daemon=True)
        self._acts: dict[Blow, Callable[[], None]] = {
            Blow.KILL_WORKER: self._kill_worker,
            Blow.KILL_PARTICIPANT: self._kill_participant,
            Blow.FREEZE_PARTICIPANT: self._freeze_participant,
            Blow.KILL_HOST: self._kill_host,
            Blow.FREEZE_HOST: self._freeze_host,
            Blow.CUT: self._cut,
            Blow.BLACK_HOLE: self._black_hole,
        }

    def start(self) -> None:
        """From now on things go wrong."""
        for blow in self._faults.intervals:
            self._plan(blow)
        self._thread.start()

    def strike(self, blow: Blow) -> None:
        """One blow, now; does nothing where there is nobody left to deal it to."""
        with self._changed:
            if not self._is_over:
                self._acts[blow]()

    @property
    def counts(self) -> Counter[str]:
        """How many blows of each kind were dealt, and what the network did."""
        return self._dealt + (self._proxy.proxy.counts if self._proxy is not None else Counter())

    def stop(self) -> None:
        """Nothing goes wrong any more, and what did is undone.  Idempotent."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        undoings, self._undoings = list(self._undoings.values()), {}
        for undo in undoings:
            undo()
        if self._proxy is not None:
            self._proxy.mend()

    # -- when --------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self._changed:
            while not self._is_over:
                now_s = time.monotonic()
                while self._due and self._due[0][0] <= now_s:
                    _, _, act = heapq.heappop(self._due)
                    act()
                self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        with self._changed:
            due_s = time.monotonic() + delay_s
            heapq.heappush(self._due, (due_s, next(self._numbers), act))
            self._changed.notify()

    def _plan(self, blow: Blow) -> None:
        def strike() -> None:
            self.strike(blow)
            self._plan(blow)

        self._later(self._rng.expovariate(1 / self._faults.intervals[blow]), strike)

    def _undo_later(self, delay_s: float, undo: Callable[[], None]) -> None:
        number = next(self._numbers)
        self._undoings[number] = undo

        def undo_once() -> None:
            if self._undoings.pop(number, None) is not None:
                undo()

        self._later(delay_s, undo_once)

    def _standstill_s(self) -> float:
        return self._rng.uniform(0.1, self._faults.standstill_s_max)

    # -- what --------------------------------------------------------------------------------------

    def _kill_worker(self) -> None:
        alive = [member for member in self._victim.participants if member.is_alive]
        for member in self._rng.sample(alive, len(alive)):
            with contextlib.suppress(psutil.NoSuchProcess):
                workers = self._zygote_of(member).children()
                if workers:
                    self._rng.choice(workers).kill()
                    self._dealt[Blow.KILL_WORKER] += 1
                    return

    def _zygote_of(self, member: Member) -> psutil.Process:
        """Its only child, which has the workers; remembered, as to look takes milliseconds."""
        zygote = self._zygotes.get(member.pid)
        if zygote is None or not zygote.is_running():
            children = psutil.Process(member.pid).children()
            if not children:
                raise psutil.NoSuchProcess(member.pid)
            zygote = self._zygotes[member.pid] = children[0]
        return zygote

    def _some_participant(self) -> Member | None:
        alive = [member for member in self._victim.participants if member.is_alive]
        return self._rng.choice(alive) if alive else None

    def _kill_participant(self) -> None:
        self._kill(Blow.KILL_PARTICIPANT, self._some_participant())

    def _kill_host(self) -> None:
        self._kill(Blow.KILL_HOST, self._victim.host if self._victim.host.is_alive else None)

    def _kill(self, blow: Blow, member: Member | None) -> None:
        if member is None:
            return

        def start_again() -> None:
            with contextlib.suppress(UsageError):  # somebody did, or the cluster is closed
                member.restart()

        member.kill()
        self._dealt[blow] += 1
        self._undo_later(self._rng.uniform(0, DOWN_S_MAX), start_again)

    def _freeze_participant(self) -> None:
        self._freeze(Blow.FREEZE_PARTICIPANT, self._some_participant())

    def _freeze_host(self) -> None:
        self._freeze(Blow.FREEZE_HOST, self._victim.host if self._victim.host.is_alive else None)

    def _freeze(self, blow: Blow, member: Member | None) -> None:
        if member is None:
            return
        pid = member.pid

        def thaw() -> None:
            if member.is_alive and member.pid == pid:
                os.kill(pid, signal.SIGCONT)

        os.kill(pid, signal.SIGSTOP)
        self._dealt[blow] += 1
        self._undo_later(self._standstill_s(), thaw)

    def _cut(self) -> None:
        if self._proxy is not None:
            self._dealt[Blow.CUT] += 1
            self._proxy.call(self._proxy.proxy.cut)

    def _black_hole(self) -> None:
        if self._proxy is not None:
            proxy = self._proxy
            ways = self._rng.choice([(Way.TO_HOST,), (Way.FROM_HOST,), tuple(Way)])
            self._dealt[Blow.BLACK_HOLE] += 1
            proxy.call(lambda: proxy.proxy.swallow(*ways))
            self._undo_later(self._standstill_s(), lambda: proxy.call(proxy.proxy.heal))
