"""What waits on a seat goes to its process, behind all that the process must know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.participant.call_batch import CallBatch
from midas_mp.participant.drain import Drain
from midas_mp.participant.frozen_workers import FrozenWorkers
from midas_mp.participant.held_back import HeldBack
from midas_mp.participant.long_tasks import LongTasks
from midas_mp.participant.node_job import NodeJob
from midas_mp.participant.pauses import Pauses
from midas_mp.participant.process import LuaProcess
from midas_mp.participant.reports import Reports
from midas_mp.participant.seat import Seat
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Failure


class Feeder:
    """Of one node.

    Args:
        jobs: what the node knows of jobs; only read here.
        memory_bytes: bound of each Lua state; a job may ask for less.
        reports: told of what is not to begin here, and of what cannot be sent.
        pauses: whose workers get nothing.
        drain: while it is on, nobody gets anything.
        long_tasks, frozen_workers, held_back: look at those who have something to do.
    """

    def __init__(
        self,
        jobs: Mapping[str, NodeJob],
        *,
        memory_bytes: int,
        reports: Reports,
        pauses: Pauses,
        drain: Drain,
        long_tasks: LongTasks,
        frozen_workers: FrozenWorkers,
        held_back: HeldBack,
    ) -> None:
        self._jobs = jobs
        self._memory_bytes = memory_bytes
        self._reports = reports
        self._pauses = pauses
        self._drain = drain
        self._long_tasks = long_tasks
        self._frozen_workers = frozen_workers
        self._held_back = held_back

    def feed(self, seat: Seat) -> None:
        """To be called whenever its queue has grown, or its process is done with something."""
        process = seat.process
        if process is None or seat.ready is None:
            return
        if self._pauses.settle(seat) or self._drain.is_on:
            self._reports.hand_back(seat)
            return
        parts: list[tuple[CallBatch, list[Frame]]] = []
        for batch in seat.next_batches():
            job = self._jobs[batch.order.job]
            memory_bytes = job.memory_bytes(self._memory_bytes)
            frames = job.introduction(seat.known, batch.order, memory_bytes=memory_bytes)
            parts.append((batch, [*frames, batch.frame()]))
            process.limit(job.timeout_s(batch.order.round))
        if not parts:
            return
        try:
            process.send([frame for _, frames in parts for frame in frames])
        except ProtocolError:
            self._send_what_can_be_sent(seat, process, parts)
        self._long_tasks.watch()
        self._frozen_workers.watch()
        if seat.has_several_in_hand:
            self._held_back.watch()

    def _send_what_can_be_sent(
        self, seat: Seat, process: LuaProcess, parts: Sequence[tuple[CallBatch, list[Frame]]]
    ) -> None:
        """The tasks of all other frames fail, and with them goes the process: it has not been told
        what the seat takes for told.

        A host in this process hands frames over as they are, so here is the first place where one
        is found that is too large, or holds what is no text.
        """
        worker = self._reports.worker(seat)
        for batch, frames in parts:
            try:
                process.send(frames)
            except ProtocolError as error:
                why = f"cannot be sent to a worker: {error}"[: limits.ERROR_MESSAGE_BYTES_MAX]
                failed = batch.failed(Failure("unsendable", why), seat.channel, worker)
                self._reports.tell(seat, [failed])
        seat.known.clear()
        process.kill()
