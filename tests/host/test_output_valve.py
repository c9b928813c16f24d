"""Printed text does not pile up for a client that reads too slowly."""

from midas_mp import limits
from midas_mp.host.output_valve import OutputValve
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import JobStatus, TaskPrinted, TaskProgress, TaskRunning

FULL = limits.OUTPUT_BACKLOG_BYTES_MAX + 1
PRINTED = Frame(1, TaskPrinted("job", 0, 5, "w"), [b"x" * 100])
PROGRESS = Frame(1, TaskProgress("job", 0, 5, 0.5))
RUNNING = Frame(1, TaskRunning("job", 0, 5, "w", 7.5))
STATUS = Frame(0, JobStatus("job", 1, 10))


def test_everything_passes_while_the_client_reads() -> None:
    frames = [PRINTED, PROGRESS, RUNNING, STATUS]
    assert OutputValve().let_through(frames, 0) == frames


def test_above_the_backlog_only_output_is_dropped_and_the_loss_is_told_once() -> None:
    valve = OutputValve()
    assert valve.let_through([PRINTED, STATUS, PRINTED, PROGRESS, RUNNING], FULL) == [STATUS]
    assert valve.let_through([STATUS], 0) == [STATUS]
    note, after = valve.let_through([PRINTED], 0)
    assert after == PRINTED
    assert note.message == PRINTED.message
    assert note.buffers == [b"... 200 bytes of output were dropped: the client reads too slowly"]
    assert valve.let_through([PRINTED], 0) == [PRINTED]
