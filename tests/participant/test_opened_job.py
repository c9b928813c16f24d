import os
from collections.abc import Iterator

import msgpack
import pytest

from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.participant.opened_job import CHECK_ENTRIES, OpenedJob, to_failure
from midas_mp.wire.messages import Failure, JobSpec

SOURCE = b"function execute_code() shared_data[#shared_data] = 0 end"
BUNDLE = Bundle.from_sources("job.lua", [], [SOURCE])


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
    job.runtime.call(BUNDLE.digest, "execute_code", Context(0, 1), None)


def test_the_last_task_of_a_frame_is_looked_at_however_short(job: OpenedJob) -> None:
    job.share(0, msgpack.packb([1, 2, 3]))
    job.inspect(0, is_last=True)
    write(job)
    with pytest.raises(ScriptError, match="wrote into shared_data"):
        job.inspect(0, is_last=True)


def test_a_long_task_pays_for_a_look_at_all_of_it(job: OpenedJob) -> None:
    job.share(0, msgpack.packb([1] * 20 * CHECK_ENTRIES))
    write(job)
    with pytest.raises(ScriptError, match="wrote into shared_data"):
        job.inspect(10**10, is_last=False)


def test_short_tasks_pay_little(job: OpenedJob) -> None:
    job.share(0, msgpack.packb([1] * 20 * CHECK_ENTRIES))
    write(job)
    job.inspect(1_000, is_last=False)
    job.inspect(1_000, is_last=True)


def test_what_cannot_be_shared_fails_the_tasks_of_its_round(job: OpenedJob) -> None:
    job.share(3, b"\xc1")
    failure = job.why_not(BUNDLE.digest, 3)
    assert failure is not None
    assert "begins no msgpack value" in failure.message
    assert job.why_not(BUNDLE.digest, 4) is None
    job.share(3, None)
    failure = job.why_not(BUNDLE.digest, 3)
    assert failure is not None
    assert failure.kind == "memory"
    job.share(3, msgpack.packb(1))
    assert job.why_not(BUNDLE.digest, 3) is None


def test_a_broken_bundle_fails_in_every_round(job: OpenedJob) -> None:
    failure = to_failure(ScriptError("syntax", "no good", "trace"))
    job.broken["d"] = failure
    assert job.why_not("d", 9) == failure == Failure("syntax", "no good", "trace")
