"""Who is told of one Lua process, played by a test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import psutil

from midas_mp.lua.bundle import Bundle
from midas_mp.lua.output import Printed, Progressed
from midas_mp.participant.process import LuaProcess, ProcessEnd
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import BeginJob, Call, JobSpec, PutBundle, RunTasks, TaskResults

SPEC = ChildSpec("laptop-000", "laptop", "worker", 0, 0)
LOOP = b"function execute_code() print('looping') while true do end end"


class Listener:
    """Remembers what it is told, of one process."""

    def __init__(self) -> None:
        self.told: list[Frame | Printed | Progressed] = []
        self.ends: list[ProcessEnd] = []
        self._changed = asyncio.Event()

    def process_frames(self, process: LuaProcess, frames: list[Frame]) -> None:
        self.told += frames
        self._changed.set()

    def process_output(self, process: LuaProcess, records: Sequence[Printed | Progressed]) -> None:
        self.told += records
        self._changed.set()

    def process_ended(self, process: LuaProcess, end: ProcessEnd) -> None:
        assert not self.ends, "it ended twice"
        self.ends.append(end)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def messages(self, kind: type) -> list:
        frames = [thing for thing in self.told if isinstance(thing, Frame)]
        return [frame.message for frame in frames if isinstance(frame.message, kind)]

    def buffers(self) -> list:
        """Of all results."""
        frames = [thing for thing in self.told if isinstance(thing, Frame)]
        return [each for f in frames if isinstance(f.message, TaskResults) for each in f.buffers]

    async def ready(self) -> psutil.Process:
        await self.until(lambda: self.messages(WorkerReady))
        return psutil.Process(self.messages(WorkerReady)[0].pid)

    async def printed(self) -> None:
        await self.until(lambda: any(isinstance(thing, Printed) for thing in self.told))

    async def ended(self) -> ProcessEnd:
        await self.until(lambda: self.ends)
        return self.ends[0]


def call(process: LuaProcess, source: bytes, count: int = 1, job: str = "job") -> None:
    """Begins a job and lets it run so many tasks."""
    digest = Bundle.from_sources("job.lua", [], [source]).digest
    calls = [Call(index, 0, 0) for index in range(count)]
    process.send(
        [
            Frame(0, BeginJob(job, JobSpec())),
            Frame(0, PutBundle(job, digest, "job.lua", []), [source]),
            Frame(0, RunTasks(job, 0, count, digest, "execute_code", calls)),
        ]
    )


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted
