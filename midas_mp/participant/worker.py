"""The loop inside a forked Lua process: receive, call, send.

One thread, a blocking socket, one Lua state for each open job.  Nobody can reach into it while a
script runs, so all watching is the parent's: the status page says what runs and since when, and
what is finished and not sent.  It leaves by ``os._exit`` only: closing a Lua state runs whatever a
script left behind.

    exit 0               the parent closed the socket
    exit WORKER_SPOILED  a memory error left the process unfit; its outcome was sent before
    exit WORKER_BROKEN   a bug of ours; the traceback is on the status page
"""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

import msgspec

from midas_mp import limits
from midas_mp.blobs.exchange import ProcessBlobs
from midas_mp.errors import ProtocolError, ScriptError, UsageError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.engines import ENGINES
from midas_mp.lua.outbound import Outbound
from midas_mp.lua.runtime import Profile, Runtime
from midas_mp.participant import confinement
from midas_mp.participant.frame_socket import FrameSocket
from midas_mp.participant.opened_job import OpenedJob, to_failure
from midas_mp.participant.status_page import MARK, MARK_OFFSET, StatusPage
from midas_mp.participant.task_runner import TaskRunner, payload_of
from midas_mp.participant.zygote_messages import WORKER_BROKEN, WORKER_SPOILED, ChildSpec
from midas_mp.permissions import refusals
from midas_mp.wire.framing import Buffer
from midas_mp.wire.local import (
    BlobRef,
    LoadScript,
    ReleaseBlobs,
    ResultsStored,
    ScriptLoaded,
    SharedData,
    StoreResults,
    WorkerReady,
)
from midas_mp.wire.messages import (
    BeginJob,
    DropBundles,
    EndJob,
    Failure,
    JobSpec,
    PutBundle,
    RunTasks,
    Status,
)

STDOUT_FD: Final = 1

_REASON_CHARACTERS_MAX: Final = 1_000

_NIL: Final = msgspec.msgpack.encode(None)


def serve(
    spec: ChildSpec,
    sock: socket.socket,
    output_fd: int,
    page: StatusPage,
    blobs: ProcessBlobs | None,
) -> NoReturn:
    """The whole life of a Lua process, from the fork on.

    Args:
        spec: what it is to be.
        sock: its end of the socket to its parent; blocking.
        output_fd: where the Lua library writes what scripts print.
        page: its side of the status page.
        blobs: the memory that it shares with its parent, if any.
    """
    code = WORKER_BROKEN
    try:
        os.chdir(spec.working_directory or "/")
        os.dup2(output_fd, STDOUT_FD)  # the one that every engine can write to
        os.close(output_fd)
        level = confinement.confine(
            spec.profile,
            spec.permissions,
            level_max=spec.sandbox_level_max,
            memory_hard_bytes=spec.memory_hard_bytes,
            private=spec.private,
        )
        code = LuaWorker(spec, level, FrameSocket(sock, blobs), STDOUT_FD, page).run()
    except (BrokenPipeError, ConnectionResetError):  # the parent is gone while we were sending
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it is the last thing that happens here
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(code)


def warm_up() -> None:
    """Before any fork: one Lua state of each kind made and closed, so that the library's files are
    read and the children share what they make of it.

    The other engines are imported, and that is all: three milliseconds each that few jobs use.
    """
    output_read, output_write = os.pipe()
    for profile in Profile:
        Runtime(
            profile=profile,
            job="warm-up",
            spec=JobSpec(engine=ENGINES[0]),
            worker="zygote",
            node="zygote",
            output_fd=output_write,
            memory_bytes=0,
        ).close()
    os.close(output_read)
    os.close(output_write)


class LuaWorker:
    """One process' jobs, and the frames it answers."""

    def __init__(
        self,
        spec: ChildSpec,
        level: int,
        frames: FrameSocket,
        output_fd: int,
        page: StatusPage,
    ) -> None:
        self._spec = spec
        self._level = level
        self._frames = frames
        self._output_fd = output_fd
        self._page = page
        memory = frames.blobs.outbound if frames.blobs is not None else None
        self._outbound = Outbound(memory.address, memory.size_bytes) if memory else None
        self._jobs: dict[str, OpenedJob] = {}
        self._closed_output_bytes = 0
        self._runner = TaskRunner(
            spec.name,
            page,
            shows_unsent=spec.profile == Profile.WORKER,  # nobody looks at a script process' own
            blobs=frames.blobs,
            send=frames.send,
            free=self._free,
            output_bytes=self._output_bytes,
        )
        self._is_spoiled = False
        self._handlers: dict[type, Callable[..., None]] = {
            BeginJob: self._begin_job,
            EndJob: self._end_job,
            PutBundle: self._put_bundle,
            DropBundles: self._drop_bundles,
            SharedData: self._share,
            RunTasks: self._run_tasks,
            ReleaseBlobs: self._release,
            LoadScript: self._load_script,
            StoreResults: self._store_results,
        }

    def run(self) -> int:
        """Answers frames until the socket ends or the process is of no more use.

        Returns:
            The exit code.
        """
        self._frames.send(WorkerReady(os.getpid(), self._level, list(ENGINES)))
        while not self._is_spoiled:
            if not self._answer():
                return 0
            self._frames.flush()
        self._frames.linger()
        return WORKER_SPOILED

    def _answer(self) -> bool:
        """Obeys one message, of whose buffers nothing is left here afterwards; False at the end."""
        received = self._frames.receive()
        if received is None:
            return False
        message, buffers = received
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolError(f"a Lua process does not take {type(message).__name__}")
        handler(message, buffers)
        return True

    # -- jobs --------------------------------------------------------------------------------------

    def _begin_job(self, message: BeginJob, _buffers: list[Buffer | None]) -> None:
        if message.job in self._jobs:
            raise ProtocolError(f"job {message.job} is open already")
        memory_bytes = self._memory_bytes(message.spec)
        runtime = Runtime(
            profile=Profile(self._spec.profile),
            job=message.job,
            spec=message.spec,
            worker=self._spec.name,
            node=self._spec.node,
            output_fd=self._output_fd,
            memory_bytes=memory_bytes,
            refusals=refusals(
                self._spec.permissions,
                message.spec.permissions,
                is_driver=self._spec.profile == Profile.DRIVER,
                has_landlock=self._level >= confinement.LEVEL_FILES,
            ),
            page_mark=(MARK_OFFSET, MARK),
            outbound=self._outbound,
        )
        self._jobs[message.job] = OpenedJob(runtime, memory_bytes)
        self._limit_data()

    def _end_job(self, message: EndJob, _buffers: list[Buffer | None]) -> None:
        job = self._jobs.pop(message.job, None)
        if job is not None:
            self._closed_output_bytes += job.runtime.output_bytes
            job.runtime.close()
            self._limit_data()

    def _put_bundle(self, message: PutBundle, buffers: list[Buffer | None]) -> None:
        job = self._job(message.job)
        sources = [source for source in buffers if source is not None]
        try:
            if len(sources) < len(buffers):
                raise ScriptError("memory", f"not enough memory for the source of {message.main}")
            bundle = Bundle.from_sources(message.main, message.modules, list(map(bytes, sources)))
            if bundle.digest != message.digest:
                raise UsageError(f"bundle {message.main} is not what its digest says")
            job.runtime.load(bundle)
        except ScriptError as error:
            job.broken[message.digest] = to_failure(error)
        except UsageError as error:  # its client's fault: it costs that client's tasks
            job.broken[message.digest] = Failure("syntax", str(error)[:_REASON_CHARACTERS_MAX])

    def _drop_bundles(self, message: DropBundles, _buffers: list[Buffer | None]) -> None:
        job = self._job(message.job)
        for digest in message.digests:
            job.broken.pop(digest, None)
            job.runtime.unload(digest)

    def _share(self, message: SharedData, buffers: list[Buffer | None]) -> None:
        if not buffers:
            raise ProtocolError("shared data of no buffers")
        self._job(message.job).share(message.round, buffers)

    def _release(self, message: ReleaseBlobs, _buffers: list[Buffer | None]) -> None:
        blobs = self._frames.blobs
        if blobs is None or self._outbound is None:
            raise ProtocolError("shared memory is given back, where there is none")
        self._free(blobs.released(message))
        if message.idle_from is not None:
            # no task is under way, so whatever is in use has been sent
            blobs.give_up(self._outbound.free_from(message.idle_from))

    def _free(self, buffers: Iterable[Buffer | BlobRef]) -> None:
        """Frees those that lie in the outbound memory."""
        for each in buffers:
            if self._outbound is not None and isinstance(each, BlobRef):
                self._outbound.release(each.offset, each.size_bytes)

    def _job(self, name: str) -> OpenedJob:
        try:
            return self._jobs[name]
        except KeyError:
            raise ProtocolError(f"job {name} is not open here") from None

    def _memory_bytes(self, spec: JobSpec) -> int:
        """The soft limit of a job's state: what the job says, else the node, below the ceiling."""
        soft = spec.memory_bytes or self._spec.memory_bytes
        hard = self._spec.memory_hard_bytes
        if not hard:
            return soft
        slack = limits.MEMORY_SLACK_BYTES
        ceiling = hard - slack if hard > slack else hard // 2
        return min(soft, ceiling) if soft else ceiling

    def _limit_data(self) -> None:
        """The kernel's limit follows the open jobs' own: a state that gets past Lua's allocator
        meets it soon after.
        """
        sizes = [job.memory_bytes for job in self._jobs.values()]
        bounded = bool(sizes) and all(sizes)
        if self._level > 0:
            total = sum(sizes) + limits.MEMORY_SLACK_BYTES if bounded else 0
            confinement.limit_data(total)

    # -- tasks -------------------------------------------------------------------------------------

    def _run_tasks(self, message: RunTasks, buffers: list[Buffer | None]) -> None:
        job = self._job(message.job)
        self._runner.run(job, message, buffers)
        self._is_spoiled = job.runtime.is_spoiled

    def _output_bytes(self) -> int:
        output_bytes = self._closed_output_bytes
        for job in self._jobs.values():
            output_bytes += job.runtime.output_bytes
        return output_bytes

    # -- script process ----------------------------------------------------------------------------

    def _load_script(self, message: LoadScript, _buffers: list[Buffer | None]) -> None:
        job = self._job(message.job)
        broken = job.broken.get(message.digest)
        if broken is not None:
            self._frames.send(ScriptLoaded(message.job, []), [_NIL, broken.to_payload()])
            return
        self._runner.serial += 1
        self._page.begin_task(self._runner.serial, 0, 0)
        functions: list[str] = []
        try:
            functions, config = job.runtime.start(message.digest)
            buffers = [config]
        except ScriptError as error:
            self._is_spoiled = job.runtime.is_spoiled
            buffers = [job.runtime.config_after_failure(), to_failure(error).to_payload()]
        self._page.end_task()
        self._frames.send(ScriptLoaded(message.job, functions), buffers)

    def _store_results(self, message: StoreResults, buffers: list[Buffer | None]) -> None:
        """Puts results into the state; stops at the first that does not fit."""
        runtime = self._job(message.job).runtime
        stored: list[int] = []
        failure: list[Buffer] = []
        position = 0
        for outcome in message.outcomes:
            try:
                payload = payload_of(outcome, buffers, position)
                position += outcome.buffer_count
                if outcome.status is Status.OK:
                    runtime.store(outcome.index, payload or [_NIL])
                else:
                    reason = bytes(payload[0]) if payload else b""
                    runtime.store_error(outcome.index, Failure.from_payload(reason).message)
            except ScriptError as error:
                self._is_spoiled = runtime.is_spoiled
                failure = [to_failure(error).to_payload()]
                break
            stored.append(outcome.index)
        self._frames.send(ResultsStored(message.job, message.round, stored), failure)
