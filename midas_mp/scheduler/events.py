"""What goes into the scheduler's one door, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import Hello


@dataclass(frozen=True, slots=True)
class PeerGreeted:
    """A launcher or a client has said who it is; version, role and proof were checked."""

    peer: int
    """Chosen by the shell, never used twice."""
    hello: Hello
    token: str = ""
    """The name of the token by which it came in; empty where it needed none."""
    may_manage: bool = True
    """It is of the host's own user, or has a token for operators, or everybody may do all."""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A connection ended without a Goodbye."""

    peer: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """One frame from a peer that has greeted."""

    peer: int
    frame: Frame


Event = PeerGreeted | PeerLost | Received


@dataclass(frozen=True, slots=True)
class Transfer:
    """Shared data for a launcher's bulk connection: as ``SharedPart`` frames, at its own pace."""

    peer: int
    job: str
    round: int
    offset: int
    """From this byte on."""
    buffers: Sequence[Buffer]
    """All of the data; they do not change any more."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What the shell does next, in the order of the fields: speak, hang up, report, sleep."""

    outbox: list[tuple[int, list[Frame]]] = field(default_factory=list)
    """One entry for each peer, its frames in order."""
    stops: list[tuple[str, int]] = field(default_factory=list)
    """Transfers of this job and round have no more use."""
    transfers: list[Transfer] = field(default_factory=list)
    """Begin these; a peer's earlier transfer of the same job is then over."""
    drops: list[tuple[int, str]] = field(default_factory=list)
    """Hang up on these; the scheduler has forgotten them and expects no PeerLost."""
    notices: list[str] = field(default_factory=list)
    """Sentences for the host's own stderr."""
    wake_at: float | None = None
    """Call ``step([], now)`` at this time at the latest; None: only when something happens."""
