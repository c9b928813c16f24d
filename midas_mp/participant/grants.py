"""What the owner of a node grants to its tasks, with folders that are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from midas_mp.errors import UsageError
from midas_mp.permissions import OF_TASKS, Grant, Permissions


def node_permissions(allowed: Iterable[Grant], denied: Collection[str]) -> Permissions:
    """What tasks may use on this node.

    Raises:
        UsageError: a folder that is none.
    """
    return OF_TASKS.allowing(map(_resolved, allowed)).denying(denied)


def _resolved(grant: Grant) -> Grant:
    if not grant.folder:
        return grant
    if not Path(grant.folder).is_dir():
        raise UsageError(f"{grant.kind}={grant.folder}: there is no such folder")
    return grant._replace(folder=str(Path(grant.folder).resolve()))
