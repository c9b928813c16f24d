"""One job of a client: its credit, what comes back, and what a lost connection leaves of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.errors import ClusterLost
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.messages import (
    Acknowledge,
    Call,
    CancelTasks,
    EndJob,
    JobOpened,
    JobStarted,
    JobStatus,
    OfferShared,
    Outcome,
    PutBundle,
    RunTasks,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    TasksCancelled,
)

# -- credit --------------------------------------------------------------------------------------


def test_nothing_is_submitted_beyond_the_credit_in_tasks(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=4)
        await s.submit(0, 1)
        await s.submit(2, 3)
        more = s.submit(4, 5)
        await s.a_while()
        assert s.side.submitted() == [0, 1, 2, 3]
        s.side.finish(s.job, 1, 3)
        await s.a_while()
        s.job.acknowledge(0, [1])
        await s.a_while()
        assert not more.done(), "there is credit for one, not for two"
        s.job.acknowledge(0, [3])
        await more
        await s.side.hear(RunTasks, 3)
        assert s.side.submitted() == [0, 1, 2, 3, 4, 5]
        assert s.side.heard(Acknowledge) == [
            Acknowledge(s.job.id, 0, [1]),
            Acknowledge(s.job.id, 0, [3]),
        ]
        s.client.close()

    run(main())


def test_nothing_is_submitted_beyond_the_credit_in_bytes(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=100, size=1000)
        await s.submit(0, size=600)
        await s.submit(1, size=600)
        more = s.submit(2, size=1)
        await s.a_while()
        assert not more.done()
        s.side.finish(s.job, 0, 1)
        await s.a_while()
        s.job.acknowledge(0, [0])
        await more
        await s.submit(3, size=5000)
        after = s.submit(4)
        s.side.finish(s.job, 2, 3)
        await s.a_while()
        assert not after.done()
        s.job.acknowledge(0, [1, 2])
        await s.a_while()
        assert not after.done()
        s.job.acknowledge(0, [3])
        await after
        await s.a_while()
        assert s.side.submitted() == [0, 1, 2, 3, 4]
        s.client.close()

    run(main())


def test_a_task_larger_than_all_credit_goes_alone(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(size=10)
        await s.submit(0, size=5000)
        s.client.close()

    run(main())


def test_credit_follows_the_cluster(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=2)
        await s.submit(0, 1)
        more = s.submit(2)
        await s.a_while()
        assert not more.done()
        s.side.say(JobStatus(s.job.id, 5, 3, "a sentence"))
        await more
        assert s.observer.told[-2:] == [("workers", 5), ("noticed", "a sentence")]
        s.side.say(JobStatus(s.job.id, 1, 1))
        s.side.finish(s.job, 0, 1, 2)
        last = s.submit(3)
        await s.a_while()
        s.job.acknowledge(0, [0, 1])
        await s.a_while()
        assert not last.done(), "one is still pending, and the credit is one"
        s.job.acknowledge(0, [2])
        await last
        s.client.close()

    run(main())


def test_the_same_index_of_another_round_is_another_task(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=2)
        await s.submit(7, round_=0)
        await s.submit(7, round_=1)
        s.side.finish(s.job, 7, round_=0)
        s.side.finish(s.job, 7, round_=1)
        await s.a_while()
        assert s.observer.results() == [7, 7]
        s.job.acknowledge(0, [7])
        s.job.acknowledge(1, [7])
        await s.submit(8, 9)
        await s.side.hear(RunTasks, 3)
        s.client.close()

    run(main())


# -- what comes back -----------------------------------------------------------------------------


def test_each_job_hears_what_is_its_own_in_order(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        other, of_other = s.open_job()
        await s.submit(3)
        s.side.say(TaskPrinted(s.job.id, 0, 3, "lab-000"), [bytearray(b"hello")])
        s.side.say(TaskProgress(s.job.id, 0, 3, 0.5))
        s.side.finish(s.job, 3)
        s.side.say(JobOpened(other.id, 1, 1))
        s.side.say(TaskProgress("a-job-of-the-past", 0, 3, 0.5))
        s.side.say(JobStarted(other.id, 4))
        await other.wait_started()
        assert s.observer.told == [
            ("workers", 2),
            ("printed", 3, "lab-000", b"hello"),
            ("progressed", 3, 0.5),
            ("results", [3], [b"\x03"]),
        ]
        assert of_other.told == [("workers", 4)]
        s.client.close()

    run(main())


def test_a_closed_job_hears_nothing_and_says_so_once(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        await s.submit(0)
        s.job.close("seen enough")
        s.job.close("again")
        told = list(s.observer.told)
        s.side.finish(s.job, 0)
        await s.a_while()
        assert s.observer.told == told
        assert s.side.heard(EndJob) == [EndJob(s.job.id, "seen enough")]
        s.client.close()

    run(main())


# -- after a lost connection ---------------------------------------------------------------------


def test_what_has_no_result_is_said_again_and_what_is_new_after_it(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=6)
        await s.submit(0, 1, 2)
        await s.submit(3)
        s.side.finish(s.job, 1)
        await s.a_while()
        s.job.acknowledge(0, [1])
        await s.submit(4)
        new = s.submit(5, 6, 7)
        first = s.side
        await s.cut()
        new_too = s.submit(8)
        await s.a_while()
        assert s.side.submitted() == [], "a host that says nothing gives no credit"
        await s.admit(tasks=20)
        await new
        await new_too
        await s.a_while()
        assert s.side.submitted() == [0, 2, 3, 4, 5, 6, 7, 8]
        payloads = [
            bytes(b) for f in s.side.frames if type(f.message) is RunTasks for b in f.buffers
        ]
        assert payloads == [bytes([index]) for index in s.side.submitted()]
        assert {o.digest for o in s.side.heard(RunTasks)} == {s.bundle.digest}
        assert first.submitted() == [0, 1, 2, 3, 4]
        s.client.close()

    run(main())


def test_it_is_said_again_within_the_credit_there_is_now(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=6)
        await s.submit(0, 1, 2)
        await s.submit(3, 4, 5)
        await s.cut()
        await s.admit(tasks=2)
        new = s.submit(6)
        await s.a_while()
        assert s.side.submitted() == [0, 1]
        s.side.finish(s.job, 0, 1)
        await s.a_while()
        s.job.acknowledge(0, [0, 1])
        await s.a_while()
        assert s.side.submitted() == [0, 1, 2, 3]
        assert not new.done()
        s.side.say(JobStatus(s.job.id, 2, 7))
        await new
        await s.a_while()
        assert s.side.submitted() == [0, 1, 2, 3, 4, 5, 6]
        s.client.close()

    run(main())


def test_a_result_that_comes_first_need_not_be_asked_for_again(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=3)
        await s.submit(0, 1, 2)
        await s.cut()
        await s.admit(tasks=1)
        assert s.side.submitted() == [0]
        s.side.finish(s.job, 0, 1)
        await s.a_while()
        assert s.observer.results() == [0, 1]
        s.job.acknowledge(0, [0])
        await s.a_while()
        assert s.side.submitted() == [0], "1 is charged: this host has it"
        s.job.acknowledge(0, [1])
        await s.a_while()
        assert s.side.submitted() == [0, 2]
        s.client.close()

    run(main())


def test_no_result_is_delivered_twice_and_each_is_acknowledged_to_who_repeats_it(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=8)
        await s.submit(0, 1, 2, 3, 4)
        s.side.finish(s.job, 0, 1, 2)
        await s.a_while()
        s.job.acknowledge(0, [0])
        await s.cut()
        await s.admit(tasks=8)
        s.side.finish(s.job, 4, 2, 1, 0, 3)
        await s.a_while()
        assert s.observer.results() == [0, 1, 2, 4, 3]
        assert s.observer.told[-1] == ("results", [4, 3], [b"\x04", b"\x03"])
        again = Acknowledge(s.job.id, 0, [0])
        assert s.side.heard(Acknowledge) == [again, again], "once unasked, and once for the repeat"
        s.job.acknowledge(0, [1, 2, 3, 4])
        await s.side.hear(Acknowledge, 3)
        assert s.side.heard(Acknowledge)[2].indices == [1, 2, 3, 4]
        assert s.job._rounds == {}
        s.client.close()

    run(main())


def test_the_latest_acknowledgements_are_said_again_before_any_task(
    run: Callable, stage: Callable
) -> None:
    """What the host has not heard of counts against the credit there."""

    async def main() -> None:
        s = await stage.started(tasks=4)
        for start in range(0, 12, 2):
            await s.submit(start, start + 1)
            s.side.finish(s.job, start, start + 1)
            await s.a_while()
            s.job.acknowledge(0, [start, start + 1])
        await s.submit(20, 21)
        s.side.finish(s.job, 20)
        await s.a_while()
        await s.cut()
        s.job.acknowledge(0, [20])
        await s.admit(tasks=4)
        said = [type(f.message) for f in s.side.frames]
        assert said[-4:] == [Acknowledge, Acknowledge, Acknowledge, RunTasks]
        assert [a.indices for a in s.side.heard(Acknowledge)] == [[8, 9], [10, 11], [20]]
        assert s.side.submitted() == [21]
        s.side.finish(s.job, 21)
        await s.a_while()
        s.job.acknowledge(0, [21])
        assert (s.job._credit.room, s.job._rounds) == (4, {})
        s.client.close()

    run(main())


def test_failures_and_results_without_buffers_are_filtered_alike(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=8)
        await s.submit(0, 1, 2)
        s.side.finish(s.job, 0)
        outcomes = [
            Outcome(0, 0, Status.OK, 1, 2),
            Outcome(1, 0, Status.FAILED, 1),
            Outcome(2, 0, Status.OK, 1, 0),
        ]
        results = TaskResults(s.job.id, 0, "lab-000", outcomes)
        s.side.say(results, [b"a", b"b", b"failure"])
        await s.a_while()
        assert s.observer.told[-1] == ("results", [1, 2], [b"failure"])
        s.client.close()

    run(main())


def test_being_cut_again_on_the_way_back_changes_nothing(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=6)
        await s.submit(0, 1, 2)
        await s.submit(3, 4, 5)
        s.side.finish(s.job, 5)
        await s.cut()
        await s.admit(tasks=2)
        await s.cut()
        await s.cut()
        await s.admit(tasks=6)
        assert s.side.submitted() == [
            0,
            1,
            2,
            3,
            4,
            *([5] if 5 not in s.observer.results() else []),
        ]
        s.client.close()

    run(main())


def test_payloads_are_kept_only_as_long_as_they_may_be_needed(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=1000, size=10**6)
        frame = memoryview(bytearray(300))
        order = s.order(*range(100))
        await s.job.submit(order, [frame[3 * i : 3 * i + 3] for i in range(100)])
        s.side.finish(s.job, *range(100))
        await s.a_while()
        (tasks,) = s.job._rounds.values()
        assert (len(tasks.open), len(tasks.delivered)) == (0, 100)
        s.job.acknowledge(0, range(100))
        assert s.job._rounds == {}
        s.client.close()

    run(main())


# -- a job that was closed -------------------------------------------------------------------------


def test_whoever_waits_for_a_job_that_is_closed_hears_of_it(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=1)
        await s.submit(0)
        more = s.submit(1)
        await s.a_while()
        assert not more.done()
        s.job.close()
        with pytest.raises(ClusterLost, match="the job was closed"):
            await more
        with pytest.raises(ClusterLost, match="the job was closed"):
            await s.submit(2)
        with pytest.raises(ClusterLost, match="the job was closed"):
            s.job.share(0, [b"shared"])
        await s.side.hear(EndJob, 1)
        await s.a_while()
        assert s.side.submitted() == [0]
        assert s.side.heard(OfferShared) == []
        s.client.close()

    run(main())


def test_a_further_bundle_is_said_once_and_again_to_a_host_that_may_not_have_it(
    run: Callable, stage: type
) -> None:
    async def main() -> None:
        here = await stage.started()
        other = Bundle.from_sources("other.lua", [], [b"return 2"])
        for index in range(2):
            order = RunTasks(here.job.id, 0, 2, other.digest, "f", [Call(index)])
            await here.job.submit(order, [b"x"], other)
        await here.a_while()
        digests = [put.digest for put in here.side.heard(PutBundle)]
        assert digests == [here.bundle.digest, other.digest]
        await here.cut()
        digests = [put.digest for put in await here.side.hear(PutBundle, 2)]
        assert digests == [here.bundle.digest, other.digest]
        here.client.close()

    run(main())


def test_of_a_job_that_is_over_its_host_hears_of_no_bundle(run: Callable, stage: type) -> None:
    async def main() -> None:
        here = await stage.started()
        here.job.close()
        with pytest.raises(ClusterLost):
            await here.job.submit(
                here.order(0), [b"x"], Bundle.from_sources("other.lua", [], [b"return 2"])
            )
        await here.a_while()
        assert [put.digest for put in here.side.heard(PutBundle)] == [here.bundle.digest]
        here.client.close()

    run(main())


# -- cancelling ----------------------------------------------------------------------------------


def test_a_cancelled_task_is_never_reported_and_its_credit_comes_back(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=3)
        await s.submit(0, 1, 2)
        more = s.submit(3)
        s.job.cancel(0, [1, 2, 77])
        s.job.cancel(5, [0])
        assert await s.side.hear(CancelTasks) == [CancelTasks(s.job.id, 0, [1, 2])]
        s.side.finish(s.job, 0, 1)
        s.side.say(TaskPrinted(s.job.id, 0, 1, "w"), [b"text"])
        s.side.say(TaskProgress(s.job.id, 0, 1, 0.5))
        s.side.say(TaskRunning(s.job.id, 0, 1, "w", 5.0))
        await s.a_while()
        assert s.observer.told[1:] == [("results", [0], [b"\x00"])]
        assert not more.done(), "the host may still have them"
        s.side.say(TasksCancelled(s.job.id, 0, [1, 2]))
        await more
        assert s.side.heard(Acknowledge) == []
        s.job.cancel(0, [1])
        s.side.finish(s.job, 3)
        await s.a_while()
        s.job.acknowledge(0, [0, 3])
        assert (s.job._credit.room, s.job._rounds) == (3, {})
        assert s.side.heard(CancelTasks) == [CancelTasks(s.job.id, 0, [1, 2])]
        s.client.close()

    run(main())


def test_a_task_whose_result_has_arrived_is_not_cancelled(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        await s.submit(0)
        s.side.finish(s.job, 0)
        await s.a_while()
        s.job.cancel(0, [0])
        s.job.acknowledge(0, [0])
        await s.side.hear(Acknowledge)
        assert s.side.heard(CancelTasks) == []
        s.client.close()

    run(main())


def test_what_the_host_has_not_forgotten_is_cancelled_again_on_the_next_connection(
    run: Callable, stage: Callable
) -> None:
    """It counts against the credit until then: the host may have all of it."""

    async def main() -> None:
        s = await stage.started(tasks=3)
        await s.submit(0, 1, 2)
        s.job.cancel(0, [0])
        s.side.link.abort()
        await s.a_while()
        s.job.cancel(0, [1])
        s.side = await s.host.welcomed()
        await s.side.hear(CancelTasks)
        s.side.say(JobOpened(s.job.id, 3, 1000))
        await s.a_while()
        assert s.side.submitted() == [2]
        assert s.side.heard(CancelTasks) == [CancelTasks(s.job.id, 0, [0, 1])]
        more = s.submit(3)
        await s.a_while()
        assert not more.done()
        s.side.say(TasksCancelled(s.job.id, 0, [0, 1]))
        await more
        assert s.job._credit.room == 1
        s.client.close()

    run(main())


def test_what_has_not_been_said_again_can_be_cancelled(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(tasks=4)
        await s.submit(0, 1)
        await s.cut()
        s.job.cancel(0, [0])
        await s.admit(tasks=4)
        assert s.side.submitted() == [1]
        assert s.job._credit.room == 2
        s.side.say(TasksCancelled(s.job.id, 0, [0]))
        await s.a_while()
        assert s.job._credit.room == 3
        s.client.close()

    run(main())


def test_whoever_is_at_a_task_that_is_over_is_called_off(run: Callable, stage: Callable) -> None:
    """A host before this one may have given it to somebody, who did not hear of its end."""

    async def main() -> None:
        s = await stage.started()
        await s.submit(0, 1)
        s.side.finish(s.job, 0)
        await s.a_while()
        s.side.say(TaskRunning(s.job.id, 0, 0, "w", 5.0))
        s.side.say(TaskRunning(s.job.id, 0, 1, "w", 5.0))
        s.side.say(TaskRunning(s.job.id, 8, 7, "w", 5.0))
        assert await s.side.hear(CancelTasks, 2) == [
            CancelTasks(s.job.id, 0, [0]),
            CancelTasks(s.job.id, 8, [7]),
        ]
        s.side.say(TasksCancelled(s.job.id, 0, [0]))
        s.side.say(TasksCancelled(s.job.id, 8, [7]))
        await s.a_while()
        assert s.observer.told[-1] == ("running", 1, "w", 5.0)
        s.job.acknowledge(0, [0])
        s.client.close()

    run(main())


def test_a_lost_job_has_nothing_to_cancel(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        await s.submit(0)
        s.job.close()
        s.job.cancel(0, [0])
        await s.side.hear(EndJob)
        assert s.side.heard(CancelTasks) == []
        s.client.close()

    run(main())


def test_many_tasks_are_cancelled_in_frames_of_a_good_size(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        count = limits.TASKS_PER_FRAME_MAX + 1
        s = await stage.started(tasks=count, size=10_000)
        await s.job.submit(s.order(*range(count - 1)), [b"x"] * (count - 1))
        await s.job.submit(s.order(count - 1), [b"x"])
        s.job.cancel(0, range(count))
        said = await s.side.hear(CancelTasks, 2)
        assert [len(each.indices) for each in said] == [limits.TASKS_PER_FRAME_MAX, 1]
        s.client.close()

    run(main())


def test_what_waits_for_credit_can_be_cancelled_before_it_is_submitted(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=2)
        await s.submit(0, 1)
        some, all_ = s.submit(2, 3), s.submit(4)
        await s.a_while()
        s.job.cancel(0, [2, 4])
        await all_
        assert not some.done()
        s.side.finish(s.job, 0)
        await s.a_while()
        s.job.acknowledge(0, [0])
        await some
        await s.a_while()
        assert s.side.submitted() == [0, 1, 3]
        assert s.side.heard(CancelTasks) == []
        s.side.finish(s.job, 1, 3)
        await s.a_while()
        assert s.observer.results() == [0, 1, 3]
        s.client.close()

    run(main())


def test_results_of_nothing_are_nothing(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        before = list(s.observer.told)
        s.job._take_results(TaskResults(s.job.id, 7, "lab-000", []), [])
        assert s.observer.told == before
        s.client.close()

    run(main())
