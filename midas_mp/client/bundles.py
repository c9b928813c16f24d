"""The Lua sources of a job, as its client keeps them for its hosts.

They stay for as long as tasks of them are open, since a new host has to be told of them; and beyond
that as long as there is room for all, see ``scheduler.shelf``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from midas_mp import limits
from midas_mp.lua.bundle import Bundle
from midas_mp.scheduler.shelf import Shelf, portions
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

    def put(self, bundle: Bundle) -> None:
        """One that is about to be used; what there is no room for any more is forgotten."""
        if self._shelf.use(bundle.digest):
            return
        self._keep(bundle)
        self._introduce(bundle)
        gone = self._shelf.trim(limits.BUNDLES_BYTES_MAX, lambda: self._needed() | {bundle.digest})
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
        sources = [bundle.source, *bundle.modules.values()]
        self._shelf.put(bundle.digest, size_bytes(sources))

    def _introduce(self, bundle: Bundle) -> None:
        self._say(
            PutBundle(self._job, bundle.digest, bundle.main, list(bundle.modules)),
            [bundle.source, *bundle.modules.values()],
        )
