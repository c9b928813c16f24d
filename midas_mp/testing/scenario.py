"""What a seed means: which machines, which jobs, which faults and how often.

Every seed draws not only when something goes wrong but also which kinds of things do at all: a
run in which only one kind happens, often, reaches states that a run with a little of everything
never does (A. Groce et al., "Swarm Testing", ISSTA 2012).
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

import msgspec

from midas_mp import limits
from midas_mp.testing import tightness
from midas_mp.testing.chance import Chance
from midas_mp.testing.network import Weather
from midas_mp.testing.orders import POISON, Orders


class Fault(enum.StrEnum):
    """One kind of thing that goes wrong."""

    CUT = "a connection breaks"
    HALF_CUT = "a connection breaks, and one side does not notice for a while"
    CUT_BULK = "a connection that carries shared data breaks"
    REFUSE = "nobody gets a new connection for a while"
    PART = "some machines cannot be reached for a while"
    KILL_WORKER = "a worker process is killed"
    STOP_WORKER = "somebody stops a worker process, for good"
    CRASH_NODE = "a launcher with its workers is gone, and comes again as another"
    FREEZE_NODE = "a node stands still for a while"
    LEAVE_NODE = "a node leaves, and another one joins"
    DRAIN_NODE = "a node leaves when it has done what it is at, and another one joins"
    PAUSE = "somebody has a job, a node or a worker stand still for a while"
    KILL = "somebody has a job, a node or a worker end"
    CRASH_HOST = "the host is gone, and starts again with an empty memory"
    STOP_HOST = "the host is stopped in order, and starts again with an empty memory"
    FREEZE_HOST = "the host stands still for a while"
    FREEZE_CLIENT = "a client stands still for a while"
    CRASH_CLIENT = "a client is gone; one with journals comes again"


class NodePlan(NamedTuple):
    name: str
    workers: int
    speed: float
    engines: list[str]
    starts_at: float
    is_bad: bool = False
    """No task survives there, nor does its process."""


class JobPlan(NamedTuple):
    """One job.

    Attributes:
        rounds: the tasks of each.
        shared_bytes: of the shared data of each round; 0 is none.
        batch_max: how many tasks are submitted at a time.
        pause_s: how long the client needs for the next batch.
        acknowledge_s: how long the client keeps a result before it acknowledges.
        abandoned_after: so many results are enough, and the job is ended; None is never.
        abandoned_at_s: after so long it is ended, whatever has come; None is never.
        cancels: which tasks are cancelled, by round and index, so long after they were submitted.
        is_at_once: no round waits for the one before it.
        retries: how often a task that failed is tried again.
        timeout_factor: how many medians of its round a task may take; 0 is no such bound.
    """

    title: str
    engine: str
    rounds: list[list[Orders]]
    shared_bytes: int
    timeout_s: float
    batch_max: int
    pause_s: float
    acknowledge_s: float
    abandoned_after: int | None
    abandoned_at_s: float | None
    cancels: dict[tuple[int, int], float]
    is_at_once: bool = False
    retries: int = 0
    timeout_factor: float = 0.0

    @property
    def is_run_to_its_end(self) -> bool:
        """Every task of it, as of one with a journal."""
        is_ended = self.abandoned_after is not None or self.abandoned_at_s is not None
        return not (is_ended or self.cancels)

    @property
    def seconds(self) -> float:
        """What it takes in all, on one worker of the slowest kind."""
        hops = 2  # to the host, and when it has all, to the nodes
        seconds = hops * self.shared_bytes / BYTES_PER_S_MIN * len(self.rounds)
        for tasks in self.rounds:
            finite = [orders.seconds for orders in tasks if orders.seconds < ENDLESS_S]
            seconds += sum(finite) / SPEED_MIN * (1 + self.retries)
            seconds += len(tasks) * (self.pause_s + self.acknowledge_s)
        return seconds


class ClientPlan(NamedTuple):
    """One who runs jobs.

    Attributes:
        keeps_journals: of its jobs, with which it comes again when it was gone.
    """

    name: str
    jobs: list[JobPlan]
    starts_at: float
    keeps_journals: bool = False


class Scenario(NamedTuple):
    """All that is decided before a run."""

    weather: Weather
    nodes: list[NodePlan]
    clients: list[ClientPlan]
    faults: dict[Fault, float]
    """Those that happen, and how many seconds apart."""
    fault_phase_s: float
    limits: dict[str, int]
    """Those that are other than usual, most of them narrower."""

    @property
    def is_calm(self) -> bool:
        """Whether everything that is said arrives, once."""
        is_clogged = self.weather.byte_weight > 1 or "OUTPUT_BACKLOG_BYTES_MAX" in self.limits
        is_bad = any(node.is_bad for node in self.nodes)
        return not (self.faults or self.weather.glitch_chance or is_clogged or is_bad)

    @property
    def liveness_s(self) -> float:
        """After the faults everything ends within so long."""
        jobs = [job for client in self.clients for job in client.jobs]
        work_s = sum(job.seconds for job in jobs)
        if any(node.is_bad for node in self.nodes):
            work_s += DEATHS_S * sum(len(tasks) for job in jobs for tasks in job.rounds)
        return RECOVERY_S + work_s


RECOVERY_S: Final = 100.0
"""A connection that is dead and not known to be (35 s), and the longest back-off (30 s)."""

DEATHS_S: Final = 10.0
"""Of a task that dies as often as it may, each time after it has waited for another place."""

QUIET_S: Final = 200.0
"""The same, and the patience with those who are gone (60 s)."""

ENGINES: Final = ("luajit", "lua5.4")

ENDLESS_S: Final = 1e6
"""Of a task that only ends because somebody ends it."""

CANCEL_DELAYS_S: Final = (0.0, 0.0005, 0.03, 0.4, 3.0)
"""From the submission to the cancelling: what is in each stage by then depends on the rest."""

CHUNKY_BYTES: Final = 100_000
"""Shared data that take several parts."""

BYTES_PER_S_MIN: Final = 200_000.0
"""Of a slow network: shared data take seconds."""

SPEED_MIN: Final = 0.3
SPEED_MAX: Final = 3.0
"""Of nodes, beside one that takes a task the seconds that its orders say."""

MOST_ROUNDS_OF_MANY: Final = 3
"""More rounds than that have few tasks each."""

_DURATIONS: Final = {
    "short": (0.0001, 0.003),
    "middling": (0.005, 0.1),
    "long": (0.2, 8.0),
}


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = Chance(f"scenario {seed}")
    fault_phase_s = rng.choice([1.0, 5.0, 30.0])
    client_names = [f"client{number}" for number in range(rng.choice([1, 1, 1, 2, 3]))]
    clients = [_client(rng, name, fault_phase_s) for name in client_names]
    nodes = [_node(rng, f"node{n}", fault_phase_s) for n in range(rng.choice([1, 1, 2, 3, 5]))]
    share = rng.choice([0.0, 0.1, 0.1, 0.3, 0.3, 0.6])
    kinds: list[Fault] = [
        fault for fault in Fault if fault is not Fault.KILL and rng.happens(share)
    ]
    if Chance(f"kills {seed}").happens(0.25):  # of its own, so that older seeds mean what they did
        kinds.append(Fault.KILL)
    faults = {fault: fault_phase_s / rng.choice([1, 3, 10, 30]) for fault in kinds}
    deaths = Chance(f"deaths of clients {seed}")
    if any(client.keeps_journals for client in clients) and deaths.happens(0.5):
        faults[Fault.CRASH_CLIENT] = fault_phase_s / deaths.choice([1, 3, 10])
    weather = _weather(rng)
    shares = any(job.shared_bytes > CHUNKY_BYTES for plan in clients for job in plan.jobs)
    if shares and rng.happens(0.3):
        # while the data are under way, which else is seldom when something happens
        weather = weather._replace(bytes_per_s=BYTES_PER_S_MIN)
        faults[Fault.CUT_BULK] = 1.0
    tight = tightness.draw(rng, rng.choice([0.0, 0.0, 0.3]))
    if weather.byte_weight > 1:  # what is bounded by what is unread weighs as much
        tight["UNREAD_WORDS_BYTES_MAX"] = limits.UNREAD_WORDS_BYTES_MAX * weather.byte_weight
    if rng.happens(0.15):
        number = rng.randrange(len(nodes))
        nodes[number] = nodes[number]._replace(is_bad=True)
    return Scenario(weather, nodes, clients, faults, fault_phase_s, tight)


def _weather(rng: Chance) -> Weather:
    return Weather(
        latency_s=rng.choice([0.0001, 0.001, 0.02, 0.1]),
        spike_chance=rng.choice([0, 0, 0.01, 0.2]),
        spike_s=rng.choice([0.05, 1.0]),
        split_chance=rng.choice([0, 0.3]),
        glitch_chance=rng.choice([0, 0, 0, 0.3]),
        bytes_per_s=rng.choice([1e9, 1e8, BYTES_PER_S_MIN]),
        byte_weight=rng.choice([1, 1, 1_000, 20_000]),
    )


def _node(rng: Chance, name: str, fault_phase_s: float) -> NodePlan:
    engines = list(ENGINES) if name == "node0" or rng.happens(0.7) else ["luajit"]
    return NodePlan(
        name=name,
        workers=rng.choice([1, 2, 3, 4]),
        speed=rng.choice([SPEED_MIN, 1.0, 1.0, SPEED_MAX]),
        engines=engines,
        starts_at=_start(rng, fault_phase_s),
    )


def _client(rng: Chance, name: str, fault_phase_s: float) -> ClientPlan:
    jobs = [_job(rng, f"{name}-job{n}", fault_phase_s) for n in range(rng.choice([1, 1, 2]))]
    starts_at = _start(rng, fault_phase_s)
    if not all(job.is_run_to_its_end for job in jobs) or Chance(f"no journal {jobs}").happens(0.5):
        return ClientPlan(name, jobs, starts_at)
    jobs = [job._replace(is_at_once=False) for job in jobs]
    return ClientPlan(name, jobs, starts_at, keeps_journals=True)


def _start(rng: Chance, fault_phase_s: float) -> float:
    """Mostly there from the beginning; else it comes while things go wrong."""
    return rng.choice([0.0, 0.0, rng.uniform(0, fault_phase_s)])


class _Style(NamedTuple):
    """What the tasks of a job have in common."""

    durations: str
    dangers: float
    """How often one fails, and twice how often it takes its process down."""
    prints: int
    is_shared: bool
    bundles: int


def _job(rng: Chance, title: str, fault_phase_s: float) -> JobPlan:
    shared_bytes = rng.choice([0, 0, 0, 1, 1_000, 600_000, 2_000_000])
    style = _Style(
        durations=rng.choice([*_DURATIONS, "mixed"]),
        dangers=rng.choice([0.0, 0.0, 0.1]),
        prints=rng.choice([0, 0, 3]),
        is_shared=shared_bytes > 0,
        bundles=rng.choice([1, 1, 3, 20]),
    )
    count = rng.randint(1, 25 if style.durations == "long" else 60)
    round_count = rng.choice([1, 1, 2, 3, 15])
    if round_count > MOST_ROUNDS_OF_MANY:
        count = 1 + count // 10
        shared_bytes = min(shared_bytes, CHUNKY_BYTES)
    rounds = [
        [_task(rng, title, round_, index, style) for index in range(count)]
        for round_ in range(round_count)
    ]
    abandoned_at_s = rng.uniform(0, fault_phase_s) if rng.happens(0.1) else None
    if abandoned_at_s is not None:
        rounds[0][0] = msgspec.structs.replace(rounds[0][0], seconds=ENDLESS_S)
    cancels = _cancels(rng, rounds)
    retries = Chance(f"{title} {count} {abandoned_at_s}").choice([0, 0, 0, 1, 3])
    batch_max = rng.choice([1, 7, 100])
    batches = len(rounds) * -(-count // batch_max)
    factor = Chance(f"factor {title} {count} {batch_max}").choice([0.0, 0.0, 0.0, 1.5, 5.0])
    plan = JobPlan(
        title=title,
        engine=rng.choice(["luajit", "luajit", "lua5.4"]),
        rounds=rounds,
        shared_bytes=shared_bytes,
        timeout_s=rng.choice([0.0, 0.0, 1.0]),
        batch_max=batch_max,
        pause_s=rng.choice([0.0, 0.0, rng.uniform(0, 1.5) * fault_phase_s / batches]),
        acknowledge_s=rng.choice([0.0, 0.0, 0.05, 2.0]),
        abandoned_after=rng.randrange(count) if rng.happens(0.1) else None,
        abandoned_at_s=abandoned_at_s,
        cancels=cancels,
        is_at_once=rng.happens(0.5) and not style.is_shared and not style.prints,
        retries=retries,
    )
    return plan._replace(timeout_s=0.0, timeout_factor=factor) if factor else plan


def _cancels(rng: Chance, rounds: list[list[Orders]]) -> dict[tuple[int, int], float]:
    """Some tasks, or a whole round, that will be cancelled; some of them would never end."""
    share = rng.choice([0.0, 0.0, 0.0, 0.1, 0.5, 1.0])
    delays_s = rng.sample(CANCEL_DELAYS_S, rng.randint(1, len(CANCEL_DELAYS_S)))
    cancels: dict[tuple[int, int], float] = {}
    for tasks in rounds:
        for position, orders in enumerate(tasks):
            if rng.happens(share):
                cancels[orders.round, orders.index] = rng.choice(delays_s)
                if rng.happens(0.2):
                    tasks[position] = msgspec.structs.replace(orders, seconds=ENDLESS_S)
    return cancels


def _task(rng: Chance, title: str, round_: int, index: int, style: _Style) -> Orders:
    durations = style.durations
    if durations == "mixed":
        durations = rng.choices(list(_DURATIONS), [0.6, 0.3, 0.1])[0]
    return Orders(
        title=title,
        round=round_,
        index=index,
        seconds=rng.uniform(*_DURATIONS[durations]),
        shared=style.is_shared,
        crashes=rng.choice([1, 2, POISON]) if rng.happens(style.dangers / 2) else 0,
        fails=rng.happens(style.dangers),
        prints=style.prints,
        answer_bytes=rng.choice([0, 0, 50, 2_000]),
        bundle=rng.randrange(style.bundles),
    )
