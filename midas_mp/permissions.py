"""What scripts may use of a machine, in words: ``read``, ``read=/data``, ``write=DIR``, ``clock``,
``jit``.

The owner of a node says which of them its tasks have, the user of ``midas run`` which of them the
script's own process has, and a script may ask for fewer.  Folders are the kernel's matter (see
``participant.confinement``), kinds also the Lua library's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from midas_mp.errors import UsageError

EVERYWHERE: Final = "/"

KINDS: Final = ("read", "write", "clock", "jit")
"""To read files; to write files; to ask what time it is; to turn Lua into machine code."""

SANDBOX_LEVELS: Final = (
    "0 of 3: the Lua sandbox alone",
    "1 of 3: resource limits",
    "2 of 3: resource limits, landlock",
    "3 of 3: resource limits, landlock, seccomp",
)
"""How far the kernel sees to it that nobody takes more than that."""


def what_lacks(level: int, level_min: int) -> str:
    """Says that a level is too low, if it is."""
    if level >= level_min:
        return ""
    reached, wanted = SANDBOX_LEVELS[level], SANDBOX_LEVELS[level_min]
    return f"reaches only sandbox level {reached}; wanted is {wanted}"


NO_LANDLOCK: Final = "needs landlock, which this machine lacks"

_SHOWN_CHARACTERS_MAX: Final = 60


def parse_kind(text: str) -> str:
    """One of ``KINDS``.

    Raises:
        UsageError: it is none.
    """
    if text not in KINDS:
        shown = repr(text[:_SHOWN_CHARACTERS_MAX])
        raise UsageError(f"{shown} is no permission; there are {', '.join(KINDS)}")
    return text


class Grant(NamedTuple):
    """One permission, and for files the folder below which it holds."""

    kind: str
    folder: str = ""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """``read`` (everywhere), ``read=DIR``, ``write=DIR``, ``clock`` or ``jit``.

        Raises:
            UsageError: it is none of these.
        """
        name, equals, folder = text.partition("=")
        kind = parse_kind(name)
        if kind in ("clock", "jit"):
            if equals:
                raise UsageError(f"{kind} has no folder: write {kind} alone")
            return cls(kind)
        if kind == "write" and not folder:
            raise UsageError("say below which folder: write=DIR")
        if equals and not folder:
            raise UsageError("say below which folder: read=DIR, or read for all of them")
        return cls(kind, folder or EVERYWHERE)


@dataclasses.dataclass(frozen=True, slots=True)
class Permissions:
    """All that a process is granted; by default what a task has."""

    read: tuple[str, ...] = ()
    """Folders below which files may be read."""
    write: tuple[str, ...] = ()
    """Folders below which files may be made and written."""
    clock: bool = True
    jit: bool = True

    @classmethod
    def of_driver(cls, working_directory: str, others: Iterable[str] = ()) -> Permissions:
        """What a script's own process has: it reads whatever its user may read, and writes below
        its working directory, unless that is empty, and others.
        """
        here = (working_directory,) if working_directory else ()
        return cls(read=(EVERYWHERE,), write=(*here, *others))

    def allowing(self, grants: Iterable[Grant]) -> Permissions:
        read, write, flags = self.read, self.write, set[str]()
        for kind, folder in grants:
            if kind == "read":
                read = (*read, folder)
            elif kind == "write":
                write = (*write, folder)
            else:
                flags.add(kind)
        return Permissions(read, write, self.clock or "clock" in flags, self.jit or "jit" in flags)

    def denying(self, kinds: Collection[str]) -> Permissions:
        """Whatever was allowed before."""
        return Permissions(
            () if "read" in kinds else self.read,
            () if "write" in kinds else self.write,
            self.clock and "clock" not in kinds,
            self.jit and "jit" not in kinds,
        )

    @property
    def has_files(self) -> bool:
        return bool(self.read or self.write)

    def words(self) -> list[str]:
        """As they are said: ``["read=/data", "clock", "jit"]``."""
        folders = ["read" if folder == EVERYWHERE else f"read={folder}" for folder in self.read]
        folders += [f"write={folder}" for folder in self.write]
        return [*folders, *["clock"] * self.clock, *["jit"] * self.jit]

    def __str__(self) -> str:
        return ", ".join(self.words()) or "nothing"


OF_TASKS: Final = Permissions()
"""Where the owner of a node has said nothing."""


class Refusals(NamedTuple):
    """Why one Lua state may not use something; empty where it may."""

    read: str = ""
    write: str = ""
    clock: str = ""
    jit: str = ""


_OF_THE_NODE: Final = "is not permitted on this node"

NO_FILES: Final = Refusals(read=_OF_THE_NODE, write=_OF_THE_NODE)
"""What a task may not use where the owner of a node has said nothing."""


def refusals(
    granted: Permissions, asked: Collection[str] | None, *, is_driver: bool, has_landlock: bool
) -> Refusals:
    """What a job's script may not use in a process, and why.

    Without landlock nothing keeps a script in the folders that it was granted, so it is granted
    none; but whoever starts a script may read for it.

    Args:
        granted: to the process.
        asked: the kinds that the job wants; None is all there are.
        is_driver: whether it is the script's own process.
        has_landlock: whether the kernel bounds what the process reads and writes.
    """
    owner = "was not granted to this script" if is_driver else _OF_THE_NODE

    def why_not(kind: str, *, is_granted: bool, is_held: bool = True) -> str:
        if not is_granted:
            return owner
        if asked is not None and kind not in asked:
            return "is not what this job asks for"
        return "" if is_held else NO_LANDLOCK

    reads_everywhere = is_driver and EVERYWHERE in granted.read
    return Refusals(
        why_not("read", is_granted=bool(granted.read), is_held=has_landlock or reads_everywhere),
        why_not("write", is_granted=bool(granted.write), is_held=has_landlock),
        why_not("clock", is_granted=granted.clock),
        why_not("jit", is_granted=granted.jit),
    )
