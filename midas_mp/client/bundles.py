"""The Lua sources of a job, as its client keeps them for its hosts.

They stay for as long as tasks of them are open, since a new host has to be told of them; and beyond
that as long as there is room for all, see ``scheduler.shelf``.  Those of open tasks are bounded
too: many functions that are large wait for each other, so that no host has to hold them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from midas_mp import limits
from midas_mp.lua.bundle import Bundle
from midas_mp.scheduler.shelf import Shelf, portions, weight
from midas_mp.wire.framing import Buffer, size_bytes
from midas_mp.wire.messages import DropBundles, PutBundle


class Say(Protocol):
    """Says something to the host, if it listens."""

    def __call__(
        self, message: PutBundle | DropBundles, buffers: Sequence[Buffer] = (), /
    ) -> None: ...


class KeptBundles:
    """Of one job.

    Args:
        job: its id.
        first: the one that it is opened with; ``repeat`` says it.
        say: how its host is told.
        needed: tells the digests of those that open tasks need.
    """

    def __init__(self, job: str, first: Bundle, say: Say, needed: Callable[[], set[str]]) -> None:
        self._job = job
        self._say = say
        self._needed = needed
        self._bundles: dict[str, Bundle] = {}
        self._shelf = Shelf()
        self._keep(first)

    def put(self, bundle: Bundle) -> bool:
        """One that is about to be used; what there is no room for any more is forgotten.

        Returns:
            False where open tasks need so much that it has to wait.
        """
        if self._shelf.use(bundle.digest):
            return True
        if not self._make_room(weight(_source_bytes(bundle))):
            return False
        self._keep(bundle)
        self._introduce(bundle)
        needed = self._needed
        self._drop(self._shelf.trim(limits.BUNDLES_BYTES_MAX, lambda: needed() | {bundle.digest}))
        return True

    def _make_room(self, size_bytes: int) -> bool:
        """For one of that weight; one that is too large for all that room has it for itself."""
        shelf, most = self._shelf, limits.BUNDLES_BYTES_MAX_OPEN
        if shelf.size_bytes + size_bytes > most:
            self._drop(shelf.reduce(most - size_bytes, self._needed()))
        return not shelf or shelf.size_bytes + size_bytes <= most

    def _drop(self, gone: list[str]) -> None:
        for digest in gone:
            del self._bundles[digest]
        for digests in portions(gone):
            self._say(DropBundles(self._job, digests))

    def repeat(self) -> None:
        """Says all that there are, to a host that may know none."""
        for bundle in self._bundles.values():
            self._introduce(bundle)

    def _keep(self, bundle: Bundle) -> None:
        self._bundles[bundle.digest] = bundle
        self._shelf.put(bundle.digest, _source_bytes(bundle))

    def _introduce(self, bundle: Bundle) -> None:
        self._say(
            PutBundle(self._job, bundle.digest, bundle.main, list(bundle.modules)),
            [bundle.source, *bundle.modules.values()],
        )


def _source_bytes(bundle: Bundle) -> int:
    return size_bytes([bundle.source, *bundle.modules.values()])
