"""The words of Midas: one frozen class per message, an explicit integer tag each.

A message never holds a payload.  What a task takes or gives travels as buffers behind the
header (see ``framing``), so whoever only routes never opens it.  Fields are only ever appended,
with defaults; a message that changes its meaning gets a new tag and the protocol a new version.

What people ask of a host is in ``management``, what never leaves a machine in ``local``, and who
says what to whom in ``vocabulary``.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

PROTOCOL_VERSION: Final = 6

Count = Annotated[int, Meta(ge=0, le=2**53)]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\w.@+-]+\Z")]
Label = Annotated[str, Meta(max_length=128, pattern=r"^[\w.@+-]*\Z")]
"""A name, or nothing where there is none: said with what a task prints, and when it fails."""
Digest = Annotated[str, Meta(min_length=64, max_length=64, pattern=r"^[0-9a-f]+\Z")]
Text = Annotated[str, Meta(max_length=8_192)]
"""Text for people (a reason, a path): bounded here, escaped where it is printed."""


class Role(enum.StrEnum):
    """What a process is at its end of a connection."""

    HOST = "host"
    LAUNCHER = "launcher"
    CLIENT = "client"
    BULK = "bulk"
    """A second connection of a launcher or a client, for what is large."""
    WORKER = "worker"
    """At the end of a socketpair; never on the network."""


class Status(enum.IntEnum):
    """How a task ended."""

    OK = 0
    FAILED = 1
    """The payload is a ``Failure``: the script's fault, a limit, or the task was lost for good."""


class CallForm(enum.IntEnum):
    """What a call's payload is to the function that is called."""

    DATA = 0
    """The global ``global_data``; the function takes nothing."""
    ARGUMENTS = 1
    """An array of its arguments, nil among them."""
    BATCH = 2
    """An array: how many arguments each item has, ``midas.index`` of the first item, and then the
    arguments of all items.  The function is called for each of them, in order, in one environment;
    the result is an array of what it returned."""


RETURNED: Final = "function"
"""The entry that no script can name: what the bundle's main chunk returns."""


class Message(Struct, frozen=True, array_like=True, gc=False):
    """Root of all messages; tags are unique across the package."""


# -- greeting --------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag=1):
    """Launcher or client → host, first of all."""

    protocol: Count
    role: Role
    release: Annotated[str, Meta(max_length=64)]
    node_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9a-f]+\Z")]
    """Random, drawn once per process; the same id again replaces the old connection.  A bulk
    connection says the id of the launcher or client that it belongs to."""
    name: Name
    name_is_explicit: bool = False
    """Somebody typed it: then a name already taken is refused instead of numbered."""
    workers_announced: Annotated[int, Meta(ge=0, le=65_535)] = 0


class Welcome(Message, frozen=True, tag=2):
    """Host → peer: you are in, under this name."""

    protocol: Count
    release: Annotated[str, Meta(max_length=64)]
    name: Name
    epoch: Count
    """How many connections of this node id came before."""


class Refused(Message, frozen=True, tag=3):
    """Host → peer: you are not, and why; the connection ends."""

    code: Name
    reason: Text


KILLED: Final = "killed"
"""The code with which a node is sent away, and a job ended, that somebody has killed."""


class Goodbye(Message, frozen=True, tag=4):
    """Either side, before it closes on purpose."""

    reason: Text
    code: Name = "leaving"
    """``leaving``: it goes, and may be there again soon.  ``fault``: the other side broke the
    rules.  ``replaced``: a newer connection of the same node took over.  ``sandbox``: its workers
    are confined less than the host wants.  ``killed``: somebody wants this node to end.  Only after
    the first is it any use to come back."""


class Heartbeat(Message, frozen=True, tag=5):
    """Launcher ↔ host, client ↔ host, by whoever has said nothing else for a while."""


class Invite(Message, frozen=True, tag=6):
    """Host → launcher or client, after its welcome, where both seem to be on one machine: at this
    socket they can share memory.

    Who cannot come there, or does not want to, need not say so.
    """

    where: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[\w-]+\Z")]
    """Name of an abstract Unix socket (SOCK_SEQPACKET)."""
    ticket: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9a-f]+\Z")]
    """To be said there, first of all; good for one."""


# -- workers ---------------------------------------------------------------------------------


class TaskRef(Struct, frozen=True, array_like=True, gc=False):
    """Which task: unique for as long as the job lives."""

    job: Name
    round: Count
    index: Count


class WorkerUp(Message, frozen=True, tag=11):
    """Launcher → host, on channel 0: the worker of this channel is registered."""

    channel: Annotated[int, Meta(ge=1, le=65_535)]
    name: Name
    epoch: Count
    """Counts the processes that have served this channel."""
    sandbox_level: Annotated[int, Meta(ge=0, le=3)]
    engines: list[Name]
    held: list[TaskRef] = []
    """What the process was given on an earlier connection and is still at."""
    permits: Annotated[str, Meta(max_length=512)] = ""
    """For people: what tasks may use there, such as ``read=/data, clock, jit``."""


class WorkerDown(Message, frozen=True, tag=12):
    """Launcher → host, on channel 0: this worker process is gone, with all it held."""

    channel: Annotated[int, Meta(ge=1, le=65_535)]
    epoch: Count
    cause: Text
    """For people: ``killed by SIGKILL``, ``exit code 1: PANIC …``, ``node is leaving``."""
    running: TaskRef | None = None
    """What its status page said it was running; None when idle or when blame would be wrong
    (the launcher killed it on purpose)."""
    peak_bytes: Count = 0
    """Largest resident size, from the kernel."""
    last_words: Text = ""
    """The last lines that it wrote to its stderr."""


class NodeLeaving(Message, frozen=True, tag=13):
    """Launcher → host: give this node nothing more.

    It hands back what has not begun, finishes what runs, for so long at most, and says ``Goodbye``.
    """

    reason: Text
    grace_s: Annotated[float, Meta(ge=0, le=1e9)]


# -- jobs ------------------------------------------------------------------------------------


class JobSpec(Struct, frozen=True, array_like=True):
    """What every process that runs the job's script needs to know."""

    engine: Name = "luajit"
    seed: int = 0
    timeout_s: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """Bound of each call; 0 is none (and infinity would be a second way to say so)."""
    memory_bytes: Count = 0
    """Bound of each Lua state; 0 lets the node decide."""
    isolate: bool = True
    """A fresh environment for every task."""
    arg: list[str] = []
    """``arg[0]`` (the script's path) first, then what followed ``--``."""
    directory: str = ""
    """``midas.dir``."""
    named_arg: dict[str, str] = {}
    """``arg.key``, as ``--arg key=value`` said it."""
    timeout_factor: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """Bound of each task, in medians of its round: the host says with ``LimitTasks`` how long that
    is; 0 is none."""
    permissions: list[Name] | None = None
    """What its scripts ask for, of what a process is granted: some of ``read``, ``write``,
    ``clock``, ``jit``; None is all of it."""
    retries: Annotated[int, Meta(ge=0, le=1_000)] = 0
    """How often a task that failed is tried again; one whose worker died is in any case."""


class OpenJob(Message, frozen=True, tag=20):
    """Client → host.

    Said again on a new connection of the same client, it takes the job up where it was.
    """

    job: Name
    title: Annotated[str, Meta(max_length=256)]
    spec: JobSpec
    workers_min: Annotated[int, Meta(ge=1, le=65_535)] = 1


class JobOpened(Message, frozen=True, tag=21):
    """Host → client: queued; this much may be submitted and not yet acknowledged."""

    job: Name
    credit_tasks: Count
    credit_bytes: Count


class JobStarted(Message, frozen=True, tag=22):
    """Host → client: these workers are there; submit."""

    job: Name
    workers: Count


class JobStatus(Message, frozen=True, tag=23):
    """Host → client: the cluster changed while the job is open."""

    job: Name
    workers: Count
    """Registered now."""
    credit_tasks: Count
    notice: Text = ""
    """A sentence for the user; empty when there is nothing to say."""


class JobEnded(Message, frozen=True, tag=24):
    """Host → client: the job will not go on, and why; nothing more comes of it."""

    job: Name
    code: Name
    """``job_exists``: another client has one of that id.  ``killed``: somebody wanted it to end."""
    reason: Text


class BeginJob(Message, frozen=True, tag=25):
    """Host → launcher → worker, before the job's first bundle."""

    job: Name
    spec: JobSpec


class EndJob(Message, frozen=True, tag=26):
    """Client → host → launcher → worker: free what the job had; drop what still runs."""

    job: Name
    reason: Text = ""


class PutBundle(Message, frozen=True, tag=27):
    """Client → host → launcher → worker: Lua sources, once each way.

    Buffer 0 is the main file, buffer k the source of ``modules[k - 1]``.
    """

    job: Name
    digest: Digest
    main: Annotated[str, Meta(max_length=4_096)]
    """Name for error messages."""
    modules: list[Annotated[str, Meta(max_length=256)]]


class DropBundles(Message, frozen=True, tag=28):
    """Client → host, host → launcher, launcher → worker: forget these, until they are put again.

    Whoever sends bundles keeps book of what the listener has, so nobody ever has to ask for one.
    """

    job: Name
    digests: list[Digest]


class LimitTasks(Message, frozen=True, tag=29):
    """Host → launcher: each task of the round may take so long from now on, by the job's
    ``timeout_factor``.
    """

    job: Name
    round: Count
    timeout_s: Annotated[float, Meta(ge=0, le=1e9)]


# -- tasks -----------------------------------------------------------------------------------


class Call(Struct, frozen=True, array_like=True, gc=False):
    """One task of a batch."""

    index: Count
    attempt: Count = 0
    buffer_count: Count = 1
    """How many of the frame's buffers are its payload, in order; 0 is no payload."""


class RunTasks(Message, frozen=True, tag=30):
    """Client → host → launcher → worker (and driver → script process): call ``entry`` for each."""

    job: Name
    round: Count
    count: Count
    """Tasks in the round: ``midas.count``."""
    digest: Digest
    entry: Name
    """The function: ``execute_code``, ``generate_data`` …, or ``RETURNED``."""
    calls: list[Call]
    form: CallForm = CallForm.DATA
    epoch: Count = 0
    """Host → launcher: of the worker process that is meant; the next one on its channel is not."""


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """How one task of a batch ended."""

    index: Count
    attempt: Count
    status: Status
    duration_us: Count
    buffer_count: Count = 1


class TaskResults(Message, frozen=True, tag=31):
    """Worker → launcher → host → client (and script process → driver)."""

    job: Name
    round: Count
    worker: Label
    outcomes: list[Outcome]
    output_bytes: Count = 0
    """All that the worker process has written to its output pipe so far: the launcher delivers
    that much first."""


class RecallTasks(Message, frozen=True, tag=32):
    """Host → launcher, on the worker's channel: give back up to so many that have not begun."""

    count: Count


class TasksReturned(Message, frozen=True, tag=33):
    """Worker → launcher → host, on the worker's channel: these have not begun and will not.

    The answer to ``RecallTasks``, possibly empty; or unasked for, where a task takes so long that
    others should not wait behind it.
    """

    tasks: list[TaskRef]


class TaskPrinted(Message, frozen=True, tag=34):
    """Worker's launcher → host → client; the one buffer is the text as the script made it."""

    job: Name
    round: Count
    index: Count
    worker: Label


class TaskProgress(Message, frozen=True, tag=35):
    """Worker's launcher → host → client."""

    job: Name
    round: Count
    index: Count
    fraction: Annotated[float, Meta(ge=0, le=1)]


class TaskRunning(Message, frozen=True, tag=37):
    """Worker's launcher → host → client: it is still at this task, so long already."""

    job: Name
    round: Count
    index: Count
    worker: Label
    elapsed_s: Annotated[float, Meta(ge=0, le=1e9)]


class Acknowledge(Message, frozen=True, tag=36):
    """Client → host: these results are safe here; forget them."""

    job: Name
    round: Count
    indices: list[Count]


class CancelTasks(Message, frozen=True, tag=38):
    """Client → host, and host → launcher on a worker's channel: nobody wants these any more.

    A launcher answers for each of them that it has: with ``TasksReturned`` if it had not begun,
    else with its result or with ``WorkerDown``.
    """

    job: Name
    round: Count
    indices: list[Count]


class TasksCancelled(Message, frozen=True, tag=39):
    """Host → client: these are forgotten, known or not; no result of them follows."""

    job: Name
    round: Count
    indices: list[Count]


# -- shared data -----------------------------------------------------------------------------
# One payload for each round of a job, the same for all its tasks.  Its bytes are those of its
# buffers, one after the other; they travel in parts on a bulk connection, so that nothing small
# ever waits behind them, and can be taken up again at any byte.


class OfferShared(Message, frozen=True, tag=50):
    """Client → host → launcher: the round's tasks share this; those of earlier rounds are done."""

    job: Name
    round: Count
    sizes: list[Count]
    """Of its buffers, in bytes; buffer 0 is msgpack."""


class FetchShared(Message, frozen=True, tag=51):
    """Launcher → host on its bulk connection, host → client: send it from this byte on."""

    job: Name
    round: Count
    offset: Count


class SharedPart(Message, frozen=True, tag=52):
    """Client → host, host → launcher, on a bulk connection: the one buffer is what is at offset."""

    job: Name
    round: Count
    offset: Count


class SharedHeld(Message, frozen=True, tag=53):
    """Launcher → host → client: so much of it has come; once it is all, tasks can run there."""

    job: Name
    round: Count
    node: Label
    received_bytes: Count


class Failure(Struct, frozen=True):
    """Why a task failed: the payload (msgpack map) of an outcome that is not OK."""

    kind: Annotated[str, Meta(max_length=64)]
    """As in ``errors.ScriptError``."""
    message: Annotated[str, Meta(max_length=8_192)]
    traceback: Annotated[str, Meta(max_length=16_384)] = ""
    item: Count | None = None
    """The item of a batch that failed; the results of those before it follow as a payload."""

    def to_payload(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_payload(cls, payload: bytes) -> Failure:
        """What somebody said who need not tell the truth: anything else is a failure all the same,
        of which nobody knows the cause.
        """
        try:
            return _failure_decoder.decode(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            reason = str(error)[:_REASON_CHARACTERS_MAX]
            return cls("lost", f"why it failed is not known: its worker said nonsense ({reason})")


_REASON_CHARACTERS_MAX: Final = 1_000

_failure_decoder = msgspec.msgpack.Decoder(Failure)
