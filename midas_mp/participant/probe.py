"""What a worker on this machine would be: one is started, asked, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from midas_mp.errors import ProcessLost
from midas_mp.lua.output import Printed, Progressed
from midas_mp.participant.process import LuaProcess, ProcessEnd
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import WorkerReady

PATIENCE_S: Final = 10.0
"""For a worker to start; it takes a tenth of a second."""


async def probe(zygote: Zygote) -> WorkerReady:
    """The first words of a worker that has nothing to do.

    Raises:
        ProcessLost: it ended without a word, or its zygote did.
        TimeoutError: it says nothing.
    """
    witness = _Witness()
    supervisor = Supervisor(zygote, zygote_lost=witness.fail)
    try:
        spec = ChildSpec(
            name="probe",
            node="probe",
            profile="worker",
            memory_bytes=0,
            memory_hard_bytes=0,
            sandbox_level_max=3,
        )
        supervisor.start(spec, witness)
        async with asyncio.timeout(PATIENCE_S):
            return await witness.ready
    finally:
        supervisor.close()


class _Witness:
    """Listens to the process until it has said that it is ready."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[WorkerReady] = asyncio.get_running_loop().create_future()

    def fail(self, error: ProcessLost) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # where starting it fails, too, nobody waits for this

    def process_frames(self, _process: LuaProcess, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, WorkerReady) and not self.ready.done():
                self.ready.set_result(frame.message)

    def process_output(
        self, _process: LuaProcess, _records: Sequence[Printed | Progressed]
    ) -> None: ...

    def process_ended(self, _process: LuaProcess, end: ProcessEnd) -> None:
        self.fail(ProcessLost(end.cause))
