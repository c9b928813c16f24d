import os
from collections.abc import Iterator

import msgpack
import pytest

from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.participant.opened_job import OpenedJob, to_failure
from midas_mp.wire.messages import Failure, JobSpec

SOURCE = b"function execute_code() shared_data[#shared_data] = 0 end"
BUNDLE = Bundle.from_sources("job.lua", [], [SOURCE])

WROTE = "wrote into shared_data: all tasks of a worker share it, so copy what is to be changed"


@pytest.fixture
def job() -> Iterator[OpenedJob]:
    fd = os.open(os.devnull, os.O_WRONLY)
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(),
        worker="w",
        node="n",
        output_fd=fd,
        memory_bytes=0,
    )
    runtime.load(BUNDLE)
    yield OpenedJob(runtime, 0)
    runtime.close()
    os.close(fd)


def write(job: OpenedJob) -> None:
    job.runtime.call(BUNDLE.digest, "execute_code", Context(0, 1))


def test_a_write_is_the_failure_of_all_that_ran_since(job: OpenedJob) -> None:
    assert job.find_write(1) is None
    job.share(0, [msgpack.packb([1] * 5_000)])
    assert job.find_write(1) is None
    write(job)
    assert job.find_write(1) == Failure("runtime", f"this task {WROTE}")
    several = "this task, or one that ran shortly before or after it on the same worker, "
    assert job.find_write(2) == Failure("runtime", several + WROTE)


def test_what_cannot_be_shared_fails_the_tasks_of_its_round(job: OpenedJob) -> None:
    job.share(3, [b"\xc1"])
    failure = job.why_not(BUNDLE.digest, 3)
    assert failure is not None
    assert "begins no msgpack value" in failure.message
    assert job.why_not(BUNDLE.digest, 4) is None
    job.share(3, [None])
    failure = job.why_not(BUNDLE.digest, 3)
    assert failure is not None
    assert failure.kind == "memory"
    job.share(3, [msgpack.packb(1)])
    assert job.why_not(BUNDLE.digest, 3) is None


def test_a_broken_bundle_fails_in_every_round(job: OpenedJob) -> None:
    failure = to_failure(ScriptError("syntax", "no good", "trace"))
    job.broken["d"] = failure
    assert job.why_not("d", 9) == failure == Failure("syntax", "no good", "trace")
