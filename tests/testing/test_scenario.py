"""What seeds draw."""

from __future__ import annotations

from midas_mp.testing.scenario import ENDLESS_S, ENGINES, Fault, draw


def test_a_seed_always_means_the_same():
    assert draw(17) == draw(17)
    assert draw(17) != draw(18)


def test_every_kind_of_fault_is_drawn_and_none_always():
    drawn = [draw(seed).faults for seed in range(100)]
    for fault in Fault:
        assert 5 < sum(fault in faults for faults in drawn) < 70


def test_there_are_always_nodes_tasks_and_a_worker_for_every_engine():
    for seed in range(100):
        scenario = draw(seed)
        assert {engine for node in scenario.nodes for engine in node.engines} == set(ENGINES)
        assert all(job.rounds and all(job.rounds) for c in scenario.clients for job in c.jobs)


def test_tasks_know_who_they_are():
    for client in draw(5).clients:
        for job in client.jobs:
            names = [orders.name for tasks in job.rounds for orders in tasks]
            assert len(names) == len(set(names))
            assert {name[0] for name in names} == {job.title}


def test_the_bound_of_the_end_is_longer_than_all_the_work():
    for seed in range(50):
        scenario = draw(seed)
        jobs = [job for client in scenario.clients for job in client.jobs]
        orders = [orders for job in jobs for tasks in job.rounds for orders in tasks]
        assert scenario.liveness_s > sum(o.seconds for o in orders if o.seconds < ENDLESS_S)


def test_some_jobs_have_many_rounds_some_all_at_once_and_some_many_bundles():
    jobs = [job for seed in range(100) for client in draw(seed).clients for job in client.jobs]
    assert 10 < sum(len(job.rounds) == 15 for job in jobs) < 100
    assert 10 < sum(job.is_at_once and len(job.rounds) > 1 for job in jobs) < 100
    assert not any(job.is_at_once and job.shared_bytes for job in jobs), "it is a round's own"
    bundles = [len({o.bundle for tasks in job.rounds for o in tasks}) for job in jobs]
    assert 10 < sum(count > 5 for count in bundles) < 100


def test_some_jobs_bound_their_tasks_by_seconds_and_some_by_medians():
    jobs = [job for seed in range(100) for client in draw(seed).clients for job in client.jobs]
    assert 20 < sum(job.timeout_s > 0 for job in jobs) < 100
    assert 20 < sum(job.timeout_factor > 0 for job in jobs) < 100
    assert not any(job.timeout_s and job.timeout_factor for job in jobs), "the second would win"


def test_a_task_without_end_is_cancelled_or_in_a_job_that_is_ended():
    cancelled = ended = 0
    for seed in range(100):
        for job in (job for client in draw(seed).clients for job in client.jobs):
            endless = [o for tasks in job.rounds for o in tasks if o.seconds >= ENDLESS_S]
            left = [o for o in endless if (o.round, o.index) not in job.cancels]
            assert not left or job.abandoned_at_s is not None
            cancelled += len(endless) - len(left)
            ended += bool(left)
    assert cancelled
    assert ended
