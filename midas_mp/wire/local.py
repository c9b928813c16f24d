"""What is said inside of one machine, and never on the network.

By a launcher and its workers, by a driver and its script process, and by neighbours that share
memory.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from midas_mp.wire.messages import Count, Digest, Message, Name, Outcome


class WorkerReady(Message, frozen=True, tag=10):
    """Worker → launcher: confined, one Lua engine at hand, waiting."""

    pid: Count
    sandbox_level: Annotated[int, Meta(ge=0, le=3)]
    engines: list[Name]


class BlobRef(Struct, frozen=True, array_like=True, gc=False):
    """A buffer that stays where it is: in a file of shared memory that both ends have mapped.

    It stands in a header in the place of the buffer's size.
    """

    pool: Count
    """The number of the file, given by whoever showed it."""
    offset: Count
    size_bytes: Count


class ReleaseBlobs(Message, frozen=True, tag=60):
    """Launcher ↔ worker, with whatever is said next, and neighbours, on a socket of their own: what
    these refer to is not read here any more.

    Said as often as each was sent.
    """

    refs: list[BlobRef]
    pools: list[Count] = field(default_factory=list)
    """Not from a worker: nothing in these files of this end will be referred to again."""
    idle_from: Count | None = None
    """Only from the launcher: what is free in the worker's own file from here on was not needed for
    a while, and goes back to the kernel."""


class SharedData(Message, frozen=True, tag=54):
    """Launcher → worker, before the first task of the round: all of it, as buffers."""

    job: Name
    round: Count


class LoadScript(Message, frozen=True, tag=40):
    """Driver → script process: run the main chunk once, in the job's one environment."""

    job: Name
    digest: Digest


class ScriptLoaded(Message, frozen=True, tag=41):
    """Script process → driver.

    Buffer 0 is the msgpack of ``config`` (or of nil), buffer 1 (only when loading failed) a
    ``Failure``.
    """

    job: Name
    functions: list[Name]
    """Which of the contract's functions the script defines."""


class StoreResults(Message, frozen=True, tag=42):
    """Driver → script process: put these into ``results`` (or, where failed, ``errors``)."""

    job: Name
    round: Count
    outcomes: list[Outcome]


class ResultsStored(Message, frozen=True, tag=43):
    """Script process → driver: they are in; buffer 0 is a ``Failure`` if one could not be."""

    job: Name
    round: Count
    indices: list[Count]
