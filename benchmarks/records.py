"""Nested values such as programs send."""

from __future__ import annotations

from typing import Any


def records(count: int) -> list[dict[str, Any]]:
    """Each has numbers, strings, a flag, a list and a record in it."""
    return [
        {
            "id": i,
            "name": f"station {i % 100}",
            "x": i * 0.25 + 0.125,
            "y": i * -0.5 - 0.125,
            "is_open": i % 3 == 0,
            "tags": ["north", "coast"],
            "limits": {"low": i % 17, "high": 100 + i % 17},
        }
        for i in range(count)
    ]
