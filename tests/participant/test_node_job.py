"""What a process is told of a job, and when."""

from __future__ import annotations

from midas_mp.participant.node_job import NodeJob
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import SharedData
from midas_mp.wire.messages import (
    BeginJob,
    DropBundles,
    JobSpec,
    LimitTasks,
    OfferShared,
    PutBundle,
    RunTasks,
)

BEGIN = Frame(0, BeginJob("job", JobSpec(timeout_s=2)))
BUNDLES = {
    d: Frame(0, PutBundle("job", d, "job.lua", []), [b"source"]) for d in ("a" * 64, "b" * 64)
}
A, B = BUNDLES


def job() -> NodeJob:
    job = NodeJob(BEGIN)
    job.bundles.update(BUNDLES)
    return job


def order(digest: str = A, round_: int = 0) -> RunTasks:
    return RunTasks("job", round_, 10, digest, "execute_code", [])


def test_a_process_is_told_everything_once() -> None:
    it, known = job(), {}
    assert it.introduction(known, order()) == [BEGIN, BUNDLES[A]]
    assert it.introduction(known, order()) == []
    assert it.introduction(known, order(B)) == [BUNDLES[B]]
    assert list(known["job"].bundles) == [A, B]
    assert it.introduction({}, order(B)) == [BEGIN, BUNDLES[B]], "another process"


def test_a_process_with_little_memory_is_told_to_forget_what_it_ran_longest_ago() -> None:
    it, known, memory_bytes = job(), {}, 32 * 2_500
    c = "c" * 64
    it.bundles[c] = Frame(0, PutBundle("job", c, "job.lua", []), [b"source"])
    it.introduction(known, order(A), memory_bytes=memory_bytes)
    it.introduction(known, order(B), memory_bytes=memory_bytes)
    it.introduction(known, order(A), memory_bytes=memory_bytes)
    dropping, bundle = it.introduction(known, order(c), memory_bytes=memory_bytes)
    assert (dropping.message, bundle) == (DropBundles("job", [B, A]), it.bundles[c])
    assert it.introduction(known, order(A), memory_bytes=memory_bytes) == [BUNDLES[A]]
    assert it.introduction(known, order(c), memory_bytes=memory_bytes) == []


def test_a_bundle_that_is_too_large_for_its_process_goes_there_alone() -> None:
    it, known, c = job(), {}, "c" * 64
    it.bundles[c] = Frame(0, PutBundle("job", c, "job.lua", []), [b"source" * 1_000])
    for digest in (A, B, c):
        frames = it.introduction(known, order(digest), memory_bytes=32)
        assert frames[-1] == it.bundles[digest]
    assert list(known["job"].bundles) == [c]


def test_shared_data_come_before_the_first_task_of_their_round() -> None:
    it, known = job(), {}
    it.introduction(known, order())
    it.copy_for(OfferShared("job", 1, [3])).put(0, b"one")
    assert it.introduction(known, order()) == [], "an older round"
    (shared,) = it.introduction(known, order(round_=1))
    assert (shared.message, shared.buffers) == (SharedData("job", 1), [b"one"])
    assert it.introduction(known, order(round_=1)) == []
    it.copy_for(OfferShared("job", 2, [3])).put(0, b"two")
    (shared,) = it.introduction(known, order(round_=2))
    assert (shared.message, shared.buffers) == (SharedData("job", 2), [b"two"])


def test_an_offer_that_is_known_keeps_what_has_come() -> None:
    it = job()
    copy = it.copy_for(OfferShared("job", 0, [3]))
    assert it.copy_for(OfferShared("job", 0, [3])) is copy
    assert it.copy_for(OfferShared("job", 1, [3])) is not copy


def test_it_objects_to_tasks_that_cannot_run() -> None:
    it = job()
    assert it.objection(order()) == ""
    assert it.objection(order("c" * 64)) == "whose bundle never came"
    copy = it.copy_for(OfferShared("job", 1, [3]))
    assert it.objection(order(round_=0)) == ""
    assert it.objection(order(round_=1)) == "whose shared data of round 1 is not here"
    copy.put(0, b"xyz")
    assert it.objection(order(round_=1)) == ""


def test_what_a_task_may_take_is_in_the_spec_or_said_for_each_round() -> None:
    assert job().timeout_s(0) == 2
    it = NodeJob(Frame(0, BeginJob("job", JobSpec(timeout_factor=5))))
    assert it.timeout_s(0) == 0
    it.limit(LimitTasks("job", 0, 1.5))
    assert (it.timeout_s(0), it.timeout_s(1)) == (1.5, 0)
    it.limit(LimitTasks("job", 1, 3.0))
    assert (it.timeout_s(0), it.timeout_s(1)) == (0, 3.0)
