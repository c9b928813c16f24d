from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.wire.checks import PRINTED_BYTES_MAX, check_of
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import ResultsStored, ScriptLoaded, SharedData, StoreResults
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Call,
    CancelTasks,
    DropBundles,
    Goodbye,
    JobSpec,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    RunTasks,
    SharedPart,
    Status,
    TaskPrinted,
    TaskRef,
    TaskResults,
    TasksCancelled,
    TasksReturned,
    Welcome,
    WorkerUp,
)

DIGEST = "0" * 64
MOST = limits.TASKS_PER_FRAME_MAX


def complaint(message, buffers=()):
    return check_of(type(message))(Frame(1, message, buffers))


def run_tasks(*buffer_counts):
    calls = [Call(index, 0, count) for index, count in enumerate(buffer_counts)]
    return RunTasks("j", 0, len(calls), DIGEST, "execute_code", calls)


def results(kind, *buffer_counts):
    outcomes = [Outcome(i, 0, Status.OK, 1, count) for i, count in enumerate(buffer_counts)]
    if kind is StoreResults:
        return StoreResults("j", 0, outcomes)
    return TaskResults("j", 0, "w", outcomes)


BUNDLE = PutBundle("j", DIGEST, "main.lua", ["a", "b"])


@pytest.mark.parametrize(
    ("message", "buffers"),
    [
        (run_tasks(1, 1), [b""] * 2),
        (run_tasks(0, 3, 1), [b""] * 4),
        (results(TaskResults), []),
        (run_tasks(*[1] * MOST), [b""] * MOST),
        (results(TaskResults, 1, 0, 2), [b""] * 3),
        (results(StoreResults, 1, 1), [b""] * 2),
        (BUNDLE, [b""] * 3),
        (BUNDLE, [bytes(limits.SCRIPT_BYTES_MAX), b"", b""]),
        (TasksReturned([TaskRef("j", 0, 0)] * limits.QUEUE_TASKS_MAX), []),
        (CancelTasks("j", 0, list(range(MOST))), []),
        (DropBundles("j", [DIGEST] * 512), []),
        (TaskPrinted("j", 0, 0, "w"), [bytes(PRINTED_BYTES_MAX)]),
        (ScriptLoaded("j", []), [b""]),
        (ScriptLoaded("j", []), [b""] * 2),
        (ResultsStored("j", 0, []), []),
        (ResultsStored("j", 0, []), [b""]),
        (OpenJob("j", "t", JobSpec(arg=["a" * 1_000] * 48, named_arg={"b": "c"})), []),
        (Welcome(PROTOCOL_VERSION, "0.1", "n", 0), []),
        (Goodbye(""), []),
    ],
)
def test_what_fits_passes(message, buffers):
    assert complaint(message, buffers) == ""


@pytest.mark.parametrize(
    ("message", "buffers", "fact"),
    [
        (run_tasks(1, 1), [b""], "1 buffers where its tasks list 2"),
        (run_tasks(1, 1), [b""] * 3, "3 buffers where its tasks list 2"),
        (run_tasks(), [], "no tasks"),
        (run_tasks(2**53), [b""], "list 9007199254740992"),
        (run_tasks(*[0] * (MOST + 1)), [], "257 tasks in one frame"),
        (results(TaskResults, 1), [], "0 buffers"),
        (TaskResults("j", 0, "w", [Outcome(0, 0, Status.FAILED, 1, 0)]), [], "says nothing"),
        (StoreResults("j", 0, [Outcome(0, 0, Status.FAILED, 1, 0)]), [], "says nothing"),
        (results(TaskResults, *[0] * (MOST + 1)), [], "257 tasks in one frame"),
        (results(StoreResults, 0), [b""], "1 buffers"),
        (BUNDLE, [b""] * 2, "2 buffers for a main file and 2 modules"),
        (BUNDLE, [b"", bytes(limits.SCRIPT_BYTES_MAX + 1), b""], "a source file over"),
        (PutBundle("j", DIGEST, "m", ["x"] * 257), [b""] * 258, "257 modules"),
        (TasksReturned([TaskRef("j", 0, 0)] * (limits.QUEUE_TASKS_MAX + 1)), [], "1025 tasks"),
        (TasksReturned([]), [b""], "1 buffers where none"),
        (CancelTasks("j", 0, list(range(MOST + 1))), [], "257 tasks in one frame"),
        (DropBundles("j", [DIGEST] * 513), [], "513 bundles, over 512"),
        (DropBundles("j", [DIGEST]), [b""], "1 buffers where none belong"),
        (TasksCancelled("j", 0, [0]), [b""], "1 buffers where none"),
        (WorkerUp(1, "w", 0, 3, [], [TaskRef("j", 0, 0)] * 1_025), [], "1025 tasks held"),
        (OfferShared("j", 0, []), [], "0 buffers of shared data"),
        (OfferShared("j", 0, [1] * (limits.BUFFERS_MAX + 1)), [], "8193 buffers of shared"),
        (OfferShared("j", 0, [limits.PAYLOAD_BYTES_MAX, 1]), [], "bytes of shared data, over"),
        (SharedPart("j", 0, 0), [], "not one buffer"),
        (SharedPart("j", 0, 0), [b""], "not one buffer"),
        (SharedPart("j", 0, 0), [bytes(limits.SHARED_PART_BYTES_MAX + 1)], "not one buffer"),
        (SharedData("j", 0), [], "no buffer"),
        (TaskPrinted("j", 0, 0, "w"), [], "0 buffers for one text"),
        (TaskPrinted("j", 0, 0, "w"), [b"", b""], "2 buffers for one text"),
        (TaskPrinted("j", 0, 0, "w"), [bytes(PRINTED_BYTES_MAX + 1)], "a text over"),
        (ScriptLoaded("j", []), [], "0 buffers"),
        (ScriptLoaded("j", []), [b""] * 3, "3 buffers"),
        (ResultsStored("j", 0, []), [b""] * 2, "2 buffers"),
        (OpenJob("j", "t", JobSpec(arg=[""] * 12_000)), [], "60016 bytes of arguments, over"),
        (OpenJob("j", "t", JobSpec(permissions=["a" * 100] * 600)), [], "bytes of arguments"),
        (OpenJob("j", "t", JobSpec(named_arg={"a": "é" * 30_000})), [], "bytes of arguments"),
        (OpenJob("j", "t", JobSpec()), [b""], "1 buffers where none"),
        (
            Welcome(PROTOCOL_VERSION + 1, "9.9", "n", 0),
            [],
            f"protocol {PROTOCOL_VERSION + 1} (release 9.9)",
        ),
        (Welcome(PROTOCOL_VERSION, "0.1", "n", 0), [b""], "1 buffers where none"),
        (Goodbye(""), [b""], "1 buffers where none"),
    ],
)
def test_what_does_not_fit_is_named(message, buffers, fact):
    assert fact in complaint(message, buffers)
