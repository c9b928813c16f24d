"""What the owner of a node decides."""

from __future__ import annotations

from typing import NamedTuple

from midas_mp.permissions import OF_TASKS, Permissions


class NodeSettings(NamedTuple):
    """Of one node, for as long as its launcher lives."""

    name: str
    name_is_explicit: bool
    workers: int
    memory_bytes: int
    """Ceiling of each Lua state; a job may ask for less."""
    sandbox_level_max: int = 3
    permissions: Permissions = OF_TASKS
    """What tasks may use here."""
    sandbox_level_min: int = 0
    """Workers that are confined less are none."""
