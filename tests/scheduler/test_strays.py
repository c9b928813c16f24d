from __future__ import annotations

from midas_mp.scheduler.strays import EARLY_OVERHEAD_BYTES, EarlyResult
from midas_mp.wire.messages import Outcome, Status


def test_an_early_result_without_a_payload_weighs_something_too() -> None:
    outcome = Outcome(0, 0, Status.OK, 5, 0)
    assert EarlyResult(outcome, "w", []).size_bytes == EARLY_OVERHEAD_BYTES
    assert EarlyResult(outcome, "w", [b"12", b"345"]).size_bytes == EARLY_OVERHEAD_BYTES + 5
