"""Records of a small job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midas_mp.journal.records import FORMAT_VERSION, JobRecord, ResultsRecord, RoundRecord
from midas_mp.wire.messages import Outcome, Status

JOB = JobRecord(FORMAT_VERSION, "a.lua", "d1", "luajit", 7, "10", ["x"], {"k": "v"}, 100.0)


@pytest.fixture
def job() -> JobRecord:
    return JOB


@pytest.fixture
def begin() -> Callable[..., tuple]:
    """``begin(0, 10)``: a round begins, ready to be appended."""

    def make(number: int, count: int) -> tuple:
        return RoundRecord(number, count, b"", 101.0), ()

    return make


@pytest.fixture
def results() -> Callable[..., tuple]:
    """``results({4: b"four"})``: a record of these tasks and payloads, ready to be appended."""

    def make(payloads: dict, *, failed: tuple = ()) -> tuple:
        outcomes = [
            Outcome(index, 0, Status.FAILED if index in failed else Status.OK, 1)
            for index in payloads
        ]
        buffers = list(payloads.values())
        sizes = [memoryview(buffer).nbytes for buffer in buffers]
        digests = b"".join((index + 1).to_bytes(8) for index in payloads)
        return ResultsRecord("lab-000", outcomes, digests, sizes, 102.0), buffers

    return make
