"""What starting workers takes, in a process that holds nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.ways import WAYS

SCRIPT = Path(__file__).parent / "scripts" / "start.py"


class Started(NamedTuple):
    """What ``scripts/start.py`` tells."""

    seconds: float
    size_mb: float


def started(name: str, workers: int) -> Started:
    """Starts a way and ends it; skips by name where it is not installed."""
    if missing := WAYS[name].missing():
        pytest.skip(missing)
    order = [sys.executable, str(SCRIPT), name, str(workers)]
    told = subprocess.run(order, check=True, stdout=subprocess.PIPE, text=True)
    return Started(*map(float, told.stdout.split()[-2:]))
