"""One run: what it says of itself, and that it sees what must never happen."""

from __future__ import annotations

import asyncio
import gc

import pytest

from midas_mp.host.host import Host
from midas_mp.scheduler import losses
from midas_mp.testing import world
from midas_mp.testing.actors import SimulatedHost, SimulatedNode
from midas_mp.testing.network import Weather
from midas_mp.testing.orders import Orders
from midas_mp.testing.scenario import ENGINES, ClientPlan, JobPlan, NodePlan, Scenario, draw
from midas_mp.testing.script import ScriptedJob

CALM = next(seed for seed in range(100) if not draw(seed).faults)
"""A seed in which nothing goes wrong by itself."""


def test_a_calm_run_brings_every_result_and_takes_no_real_time():
    verdict = world.run(CALM)
    jobs = [job for client in draw(CALM).clients for job in client.jobs]
    assert verdict.problem == ""
    assert verdict.virtual_s > 60
    if all(job.abandoned_after is None for job in jobs):
        ends = verdict.counts["results"] + verdict.counts["tasks cancelled"]
        assert ends == sum(len(t) for job in jobs for t in job.rounds)


def equal_tasks(seconds: float, speeds: list[float]) -> Scenario:
    """A thousand of them, on nodes of two workers each; nothing goes wrong."""
    tasks = [Orders("job", 0, index, seconds) for index in range(1_000)]
    job = JobPlan("job", "luajit", [tasks], 0, 0.0, 100, 0.0, 0.0, None, None, {})
    nodes = [NodePlan(f"node{n}", 2, speed, list(ENGINES), 0.0) for n, speed in enumerate(speeds)]
    weather = Weather(0.0005, 0, 0, 0, 0, 1e9, 1)
    return Scenario(weather, nodes, [ClientPlan("ann", [job], 0.0)], {}, 1.0, {})


@pytest.mark.parametrize("seconds", [0.005, 0.1, 5.0])
def test_a_slow_node_costs_little_at_the_end(seconds):
    times: dict[str, float] = {}

    def note(line: str) -> None:
        time, _, what, *_ = line.split()
        if what in ("opens", "ends"):
            times[what] = float(time)

    speeds = [1.0, 1.0, 1.0, 0.1]
    verdict = world.run(0, note, equal_tasks(seconds, speeds))
    took_s, ideal_s = times["ends"] - times["opens"], 1_000 * seconds / (2 * sum(speeds))
    print(f"{took_s / ideal_s - 1:.1%} over ideal")  # noqa: T201 - the figure
    assert verdict.problem == ""
    assert took_s < 1.15 * ideal_s


def test_the_digest_is_of_what_happened():
    def digest(seed: int) -> str:
        return world.run(seed, lambda _line: None).digest

    assert digest(CALM) == digest(CALM)
    assert digest(CALM) != digest(CALM + 1)


def test_a_run_leaves_the_garbage_collector_as_it_was():
    world.run(CALM)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def first_problem(seeds: int = 60) -> str:
    for seed in range(seeds):
        problem = world.run(seed).problem
        if problem:
            return problem
    return ""


def test_an_exception_in_a_callback_is_a_problem(monkeypatch):
    def link_lost(*_arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Host, "link_lost", link_lost)
    assert "a bug" in first_problem(1)


def test_a_broken_invariant_is_a_problem(monkeypatch):
    def give_back_all(*_arguments):
        """A lost worker keeps what it held."""

    monkeypatch.setattr(losses, "give_back_all", give_back_all)
    assert "AssertionError" in first_problem()


def test_a_job_that_never_ends_is_a_problem(monkeypatch):
    monkeypatch.setattr(ScriptedJob, "results_arrived", lambda *_arguments: None)
    assert "not ended after" in first_problem(5)


def test_a_task_that_is_left_over_is_a_problem(monkeypatch):
    start = SimulatedHost.start

    def start_and_leave_a_task(self):
        start(self)
        self.forgotten = asyncio.ensure_future(asyncio.sleep(1e6))

    monkeypatch.setattr(SimulatedHost, "start", start_and_leave_a_task)
    assert "tasks are still pending" in first_problem(1)


def test_what_a_job_leaves_behind_is_a_problem(monkeypatch):
    monkeypatch.setattr(SimulatedNode, "remains", lambda _self: ["a crumb"])
    assert first_problem(1).startswith("left over: ['a crumb'")


def test_waiting_for_ever_is_a_problem(monkeypatch):
    async def nothing(*_arguments):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(world.Trouble, "run", nothing)
    monkeypatch.setattr(SimulatedNode, "start", lambda _self: None)
    monkeypatch.setattr(world.SimulatedClient, "start", lambda _self: None)
    assert first_problem(1).startswith("Deadlock")


@pytest.mark.parametrize("seed", [3, 5])
def test_after_a_problem_a_run_ends_quietly(monkeypatch, seed):
    monkeypatch.setattr(
        ScriptedJob, "results_arrived", lambda self, *_arguments: self._object_to("enough")
    )
    assert world.run(seed).problem == "enough"
