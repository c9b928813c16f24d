from __future__ import annotations

import dataclasses

from midas_mp.scheduler.events import Ready


def test_ready_is_in_the_order_of_execution() -> None:
    names = [field.name for field in dataclasses.fields(Ready)]
    assert names == ["outbox", "stops", "transfers", "drops", "notices", "wake_at"]


def test_an_empty_ready_asks_for_nothing() -> None:
    assert Ready() == Ready([], [], [], [], [], None)
