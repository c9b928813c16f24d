"""What a message must satisfy beyond its types: its buffers match what it says, within limits.

Called by ``conversation`` for each frame that arrives, once it is known that the message may be
said at all.  A check returns its complaint, a sentence without the message's name, or ``""``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from midas_mp import limits
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import ResultsStored, ScriptLoaded, SharedData, StoreResults
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    CancelTasks,
    DropBundles,
    Message,
    OfferShared,
    OpenJob,
    PutBundle,
    RunTasks,
    SharedPart,
    Status,
    TaskPrinted,
    TaskResults,
    TasksCancelled,
    TasksReturned,
    Welcome,
    WorkerUp,
)

Check = Callable[[Frame], str]

PRINTED_BYTES_MAX: Final = limits.PRINT_BYTES_MAX + limits.KB
"""One printed text, and the note that says it was cut."""

SPEC_BYTES_MAX: Final = limits.ARGUMENT_BYTES_MAX + 8 * limits.KB
"""A job's arguments and its folder: the host passes them on in headers of its own."""

_OK: Final = Status.OK
_buffer_count = attrgetter("buffer_count")


def check_of(message_type: type[Message]) -> Check:
    """The check for frames of this message."""
    return _CHECKS.get(message_type, _has_no_buffers)


def _has_no_buffers(frame: Frame) -> str:
    return f"{len(frame.buffers)} buffers where none belong" if frame.buffers else ""


def _welcome(frame: Frame) -> str:
    message: Any = frame.message
    if message.protocol != PROTOCOL_VERSION:
        return (
            f"the host speaks protocol {message.protocol} (release {message.release}), "
            f"this side {PROTOCOL_VERSION}"
        )
    return _has_no_buffers(frame)


def _open_job(frame: Frame) -> str:
    message: Any = frame.message
    spec = message.spec
    words = [*spec.arg, *spec.named_arg, *spec.named_arg.values(), spec.directory, spec.engine]
    words += spec.permissions or []
    size = sum(len(word.encode()) + 5 for word in words)  # with what msgpack puts before it
    if size > SPEC_BYTES_MAX:
        return f"{size} bytes of arguments, over {SPEC_BYTES_MAX}"
    return _has_no_buffers(frame)


def _batch(things: list[Any], frame: Frame) -> str:
    if len(things) > limits.TASKS_PER_FRAME_MAX:
        return f"{len(things)} tasks in one frame, over {limits.TASKS_PER_FRAME_MAX}"
    expected = sum(map(_buffer_count, things))
    if expected != len(frame.buffers):
        return f"{len(frame.buffers)} buffers where its tasks list {expected}"
    return ""


def _calls(frame: Frame) -> str:
    message: Any = frame.message
    return _batch(message.calls, frame) if message.calls else "no tasks"


def _outcomes(frame: Frame) -> str:
    message: Any = frame.message
    outcomes = message.outcomes
    if [each for each in outcomes if not each.buffer_count and each.status is not _OK]:
        return "a failure that says nothing"
    return _batch(outcomes, frame)


def _cancelled(frame: Frame) -> str:
    message: Any = frame.message
    if len(message.indices) > limits.TASKS_PER_FRAME_MAX:
        return f"{len(message.indices)} tasks in one frame, over {limits.TASKS_PER_FRAME_MAX}"
    return _has_no_buffers(frame)


def _tasks_returned(frame: Frame) -> str:
    message: Any = frame.message
    if len(message.tasks) > limits.QUEUE_TASKS_MAX:
        return f"{len(message.tasks)} tasks, over what one worker can hold"
    return _has_no_buffers(frame)


def _worker_up(frame: Frame) -> str:
    message: Any = frame.message
    if len(message.held) > limits.QUEUE_TASKS_MAX:
        return f"{len(message.held)} tasks held, over what one worker can hold"
    return _has_no_buffers(frame)


def _offer(frame: Frame) -> str:
    message: Any = frame.message
    if not 1 <= len(message.sizes) <= limits.BUFFERS_MAX:
        return f"{len(message.sizes)} buffers of shared data, not 1 to {limits.BUFFERS_MAX}"
    if sum(message.sizes) > limits.PAYLOAD_BYTES_MAX:
        return f"{sum(message.sizes)} bytes of shared data, over {limits.PAYLOAD_BYTES_MAX}"
    return _has_no_buffers(frame)


def _shared_part(frame: Frame) -> str:
    if len(frame.buffers) != 1 or not 0 < len(frame.buffers[0]) <= limits.SHARED_PART_BYTES_MAX:
        return f"not one buffer of 1 to {limits.SHARED_PART_BYTES_MAX} bytes"
    return ""


def _shared_data(frame: Frame) -> str:
    return "" if frame.buffers else "no buffer"


def _bundle(frame: Frame) -> str:
    message: Any = frame.message
    modules = len(message.modules)
    if modules > limits.BUNDLE_FILES_MAX:
        return f"{modules} modules, over {limits.BUNDLE_FILES_MAX}"
    if len(frame.buffers) != 1 + modules:
        return f"{len(frame.buffers)} buffers for a main file and {modules} modules"
    if any(len(source) > limits.SCRIPT_BYTES_MAX for source in frame.buffers):
        return f"a source file over {limits.SCRIPT_BYTES_MAX} bytes"
    return ""


def _dropped_bundles(frame: Frame) -> str:
    message: Any = frame.message
    if len(message.digests) > limits.DIGESTS_PER_FRAME_MAX:
        return f"{len(message.digests)} bundles, over {limits.DIGESTS_PER_FRAME_MAX}"
    return _has_no_buffers(frame)


def _printed(frame: Frame) -> str:
    if len(frame.buffers) != 1:
        return f"{len(frame.buffers)} buffers for one text"
    if len(frame.buffers[0]) > PRINTED_BYTES_MAX:
        return f"a text over {PRINTED_BYTES_MAX} bytes"
    return ""


def _script_loaded(frame: Frame) -> str:
    if len(frame.buffers) not in (1, 2):
        return f"{len(frame.buffers)} buffers for a config and at most a failure"
    return ""


def _results_stored(frame: Frame) -> str:
    if len(frame.buffers) > 1:
        return f"{len(frame.buffers)} buffers for at most one failure"
    return ""


_CHECKS: Final[dict[type[Message], Check]] = {
    Welcome: _welcome,
    WorkerUp: _worker_up,
    OpenJob: _open_job,
    OfferShared: _offer,
    SharedPart: _shared_part,
    SharedData: _shared_data,
    PutBundle: _bundle,
    DropBundles: _dropped_bundles,
    RunTasks: _calls,
    TaskResults: _outcomes,
    TasksReturned: _tasks_returned,
    CancelTasks: _cancelled,
    TasksCancelled: _cancelled,
    TaskPrinted: _printed,
    ScriptLoaded: _script_loaded,
    StoreResults: _outcomes,
    ResultsStored: _results_stored,
}
