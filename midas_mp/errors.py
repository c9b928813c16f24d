"""Every error that Midas raises on purpose, in one tree, grouped by whose fault it is.

    MidasError
    ├── UsageError              you called it wrongly            exit 2
    │   ├── UnsendableValue     a Python value that Lua has not
    │   └── JournalRefused      a journal of another job, or no journal at all
    ├── ScriptError             the script's fault               exit 1
    ├── PeerError               the other side's fault           exit 3
    │   ├── ProtocolError       bytes or messages out of order
    │   └── PeerRefused         one side turned the other away (version, name, role)
    ├── WorldError              nobody's fault here              exit 4
    │   ├── AddressInUse        the port is taken
    │   ├── HostUnreachable     no host answers there
    │   ├── ConnectionLost      the connection broke off in the middle
    │   ├── ClusterLost         the host, or every worker, went away
    │   ├── JobKilled           somebody had the host end the job
    │   ├── ProcessLost         a process of ours died
    │   └── JournalFailed       a journal is damaged, in use, or cannot be written
    └── InternalError           our bug                          exit 70
        └── IllegalTransition   a state machine was pushed where its table has no entry

Each class has a stable ``code`` (for the wire and for logs) and an ``exit_code`` (for the
command line).  Facts are attributes; the text is made from them in ``__str__``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class MidasError(Exception):
    """Root of the tree: catch this to catch everything that Midas raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70


class UsageError(MidasError):
    """A wrong option, a missing file, a bad address, a refused configuration."""

    code = "usage"
    exit_code = 2


class UnsendableValue(UsageError, TypeError):
    """A Python value that is none in Lua; says where in which argument it is."""

    code = "unsendable"


class JournalRefused(UsageError):
    """A journal of another job, or a file that is no journal; it stays as it is."""

    code = "journal_refused"

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"the journal {self.path}: {self.reason}" if self.path else self.reason


class ScriptError(MidasError):
    """The script failed; carries all that a person needs to find the place.

    Attributes:
        kind: what went wrong, one of ``syntax``, ``missing_function``, ``runtime``,
            ``unsendable``, ``memory``, ``timeout``, ``lost``, ``cancelled``.
        message: one bounded text, with the script's own file name and line where there is one.
        traceback: the Lua traceback, script frames only; may be empty.
        function: the script function that was running (``execute_code`` …), or None.
        index: the 0-based task index, or None outside a task.
        worker: the name of the worker or of the script process, or None.
        excerpt: the line of the source that the message points at, or None.
        job: the job's id, or None.
        item: which item of a batch of calls failed, from 0, or None.
    """

    code = "script"
    exit_code = 1

    def __init__(
        self,
        kind: str,
        message: str,
        traceback: str = "",
        *,
        function: str | None = None,
        index: int | None = None,
        worker: str | None = None,
        job: str | None = None,
        excerpt: str | None = None,
        item: int | None = None,
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.traceback = traceback
        self.function = function
        self.index = index
        self.worker = worker
        self.job = job
        self.excerpt = excerpt
        self.item = item

    @property
    def place(self) -> str:
        """``execute_code, task 17, on laptop-000``: the parts that are known."""
        parts = []
        if self.function:
            parts.append(self.function)
        if self.index is not None:
            parts.append(f"task {self.index}")
        if self.worker:
            parts.append(f"on {self.worker}")
        return ", ".join(parts)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}" if self.place else self.message]
        if self.excerpt:
            lines.append(f"  {self.excerpt}")
        if self.traceback:
            lines.append(self.traceback)
        return "\n".join(lines)


class PeerError(MidasError):
    """The process at the other end of a connection did something it must not."""

    code = "peer"
    exit_code = 3


class ProtocolError(PeerError):
    """Bytes that are not a frame, a message that is not allowed here, a limit exceeded."""

    code = "protocol"


class PeerRefused(PeerError):
    """One side turned the other away; ``reason`` says what to change."""

    code = "refused"

    def __init__(self, reason: str, *, refusal: str = "refused") -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal

    def __str__(self) -> str:
        return self.reason


class WorldError(MidasError):
    """The machine, the network or another process failed; nobody here did wrong."""

    code = "world"
    exit_code = 4


class AddressInUse(WorldError):
    """The address is taken by another process."""

    code = "address_in_use"


class HostUnreachable(WorldError):
    """No host answers at the address."""

    code = "host_unreachable"


class ConnectionLost(WorldError):
    """The connection broke: reset, timed out, or cut inside a frame."""

    code = "connection_lost"


class ClusterLost(WorldError):
    """The host, or every worker, went away while work was under way."""

    code = "cluster_lost"


class JobKilled(WorldError):
    """Somebody had the host end the job: ``midas kill``, which the text names."""

    code = "job_killed"


class ProcessLost(WorldError):
    """A process that Midas started ended before its work did."""

    code = "process_lost"


class JournalFailed(WorldError):
    """A journal is damaged, in use by another process, or cannot be read or written."""

    code = "journal"

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"the journal {self.path}: {self.reason}" if self.path else self.reason


class InternalError(MidasError):
    """A bug in Midas itself: please report it."""

    code = "internal"


class IllegalTransition(InternalError):
    """A state machine got a trigger that its table does not list for its state.

    Attributes:
        subject: who (``worker laptop-000``, ``task 17`` …).
        state: the state it was in.
        trigger: what happened.
        story: the last things that happened to the subject, oldest first.
    """

    code = "illegal_transition"

    def __init__(self, subject: str, state: str, trigger: str, story: Iterable[str] = ()) -> None:
        super().__init__(subject, state, trigger)
        self.subject = subject
        self.state = state
        self.trigger = trigger
        self.story = tuple(story)

    def __str__(self) -> str:
        text = f"{self.subject}: no transition from {self.state!r} on {self.trigger!r}"
        if self.story:
            text += "; before that: " + " | ".join(self.story)
        return text
