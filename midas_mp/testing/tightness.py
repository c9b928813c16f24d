"""Limits so narrow that a small simulation meets them.

Most of ``limits`` is out of reach for a job of fifty tasks, and what happens at them would never
be seen.  So a scenario draws some of them anew (FoundationDB calls such things knobs).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from midas_mp import limits
from midas_mp.testing.chance import Chance

CHOICES: Final[Mapping[str, tuple[int, ...]]] = {
    "BUNDLES_BYTES_MAX": (1_000, 4_000),
    "BUNDLES_BYTES_MAX_PROCESS": (1_000, 4_000),
    "CREDIT_TASKS": (5, 30),
    "CREDIT_TASKS_PER_WORKER": (0, 3),
    "CREDIT_BYTES": (100, 3_000),
    "EARLY_BYTES_MAX": (0, 300),
    "ENDED_JOBS_MAX": (1,),
    "EPOCHS_MAX": (1,),
    "FRAME_BYTES_TARGET": (100, 1_000),
    "OUTPUT_BACKLOG_BYTES_MAX": (0, 300),
    "QUEUE_BYTES_MAX": (100, 1_000),
    "QUEUE_TASKS_MAX": (2, 20),
    "SHARED_PART_BYTES": (50_000,),
    "TASKS_PER_FRAME_MAX": (1, 4),
}
"""Those that are read when they matter, and so can be changed for one run."""


def draw(rng: Chance, share: float) -> dict[str, int]:
    """That part of them, each with a value."""
    return {name: rng.choice(values) for name, values in CHOICES.items() if rng.happens(share)}


@contextlib.contextmanager
def tightened(values: Mapping[str, int]) -> Iterator[None]:
    """These limits hold inside, and the usual ones again after it."""
    usual = {name: getattr(limits, name) for name in values}
    for name, value in values.items():
        setattr(limits, name, value)
    try:
        yield
    finally:
        for name, value in usual.items():
            setattr(limits, name, value)
