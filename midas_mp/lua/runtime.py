"""One Lua state for one job.

Scripts are hostile until proven otherwise.  What stands between them and this process, in order:
the library in ``library/`` gives them an allow-list of globals and empties the real ones; no
Python object ever enters Lua; values cross as bytes.  What it cannot stop (endless loops, memory
outside Lua's allocator, a crash of the engine itself) the process around it must: see
``participant``.
"""

from __future__ import annotations

import enum
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from midas_mp import limits
from midas_mp.errors import InternalError, ScriptError
from midas_mp.held_buffer import HeldBuffer
from midas_mp.lua.buffers import AddressPassage, Passage, ResultBuffer, StringPassage
from midas_mp.lua.engines import engine
from midas_mp.lua.memory import NO_LIMIT, LuaMemory
from midas_mp.lua.settings import library_settings, library_sources
from midas_mp.permissions import NO_FILES, Refusals
from midas_mp.wire.messages import CallForm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midas_mp.lua.bundle import Bundle
    from midas_mp.lua.outbound import Outbound
    from midas_mp.wire.framing import Buffer
    from midas_mp.wire.messages import JobSpec

INDEXED: Final = frozenset({"generate_data", "on_result"})
"""The driver's functions that are called for each index."""

RENEWED_NS_MIN: Final = 30_000_000
RENEWED_TIMES: Final = 100
"""A bundle is compiled anew after a task of 30 ms, if that is a hundred times what it takes."""


class Profile(enum.StrEnum):
    """Whose state it is: what a script may touch, and which environment a call gets."""

    WORKER = "worker"
    DRIVER = "driver"


class Context(NamedTuple):
    """Where a call stands in its job."""

    index: int  # type: ignore[assignment]  # the script's word, and nobody calls tuple.index
    count: int  # type: ignore[assignment]  # likewise
    round: int = 0
    attempt: int = 0


class _Doors(NamedTuple):
    """What the library returns to Python, in its order; see ``library/calls.lua``."""

    compile: Any
    call: Any
    batch: Any
    start: Any
    config_after_failure: Any
    store: Any
    store_error: Any
    share: Any
    watch_shared: Any
    check_shared: Any
    forget: Any
    tell_dropped: Any
    unload: Any


class Runtime:
    """One Lua state for one job.

    Attributes:
        output_bytes: all that this state has written to its output descriptor.
        is_spoiled: memory ran out once; replace the process.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        job: str,
        spec: JobSpec,
        worker: str,
        node: str,
        output_fd: int,
        memory_bytes: int,
        refusals: Refusals = NO_FILES,
        page_mark: tuple[int, bytes] = (0, b""),
        outbound: Outbound | None = None,
    ) -> None:
        """Makes a state that has loaded nothing yet.

        Args:
            profile: whose it is.
            job: its id, for messages and records.
            spec: what the job says of itself.
            worker: the process' name.
            node: its machine's.
            output_fd: what scripts print goes there; 1 where the process is confined and the
                engine is not LuaJIT.
            memory_bytes: what the state may take; 0 is no bound.
            refusals: what its scripts may not use, and why.
            page_mark: where the status page of this process has its mark, and that mark.
            outbound: where large arrays are left for whoever reads the results; None is nowhere.

        Raises:
            UsageError: there is no such engine here.
        """
        lupa = engine(spec.engine)
        self.output_bytes = 0
        self.is_spoiled = False
        self._job = job
        self._worker = worker
        self._memory_bytes = memory_bytes
        self._slots: dict[str, int] = {}
        self._renewable: dict[str, tuple[Bundle, int]] = {}
        """Bundles, and how long it takes to compile them, in ns."""
        self._slot_last = 0
        self._names: dict[str, bytes] = {}
        self._started: int | None = None
        self._shared_held: Sequence[HeldBuffer] = ()
        self._error_type = lupa.LuaError
        self._lua = lupa.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_handlers=(_deny, _deny),
            max_memory=NO_LIMIT,
        )
        self._lua.set_max_memory(0)
        settings = {
            **library_settings(job, spec, refusals, is_driver=profile is Profile.DRIVER),
            b"worker": worker.encode(),
            b"node": node.encode(),
            b"output_fd": output_fd,
            b"page_bytes": limits.STATUS_PAGE_BYTES,
            b"page_mark_offset": page_mark[0],
            b"page_mark": page_mark[1],
            b"memory_bytes": memory_bytes,
            b"outbound_address": outbound.address if outbound else 0,
            b"outbound_bytes": outbound.size_bytes if outbound else 0,
            b"outbound_map": outbound.map_address if outbound else 0,
        }
        is_luajit = settings[b"engine"] == b"luajit"
        self._passage: Passage = AddressPassage() if is_luajit else StringPassage(self._lua)
        self._doors = _boot(self._lua, settings)
        self._memory = LuaMemory(self._lua, memory_bytes, self._doors.forget)
        self._is_worker = profile is Profile.WORKER
        self._renews = self._is_worker and is_luajit and spec.isolate

    # -- scripts -------------------------------------------------------------------------------

    def load(self, bundle: Bundle) -> None:
        """Compiles the bundle's files; a digest that is loaded already is left alone.

        Raises:
            ScriptError: kind ``syntax``, with file and line.
        """
        if bundle.digest in self._slots:
            return
        began_ns = time.perf_counter_ns()
        slot = self._slot_last = self._slot_last + 1
        main = bundle.main.encode()
        files = [(b"", main, bundle.source)]
        for name, source in bundle.modules.items():
            files.append((name.encode(), name.replace(".", "/").encode() + b".lua", source))
        for module, chunk_name, source in files:
            with self._window(4 * len(source)):
                message = self._doors.compile(slot, main, module, chunk_name, source)
            if message is not None:
                self._doors.unload(slot)
                raise ScriptError("syntax", _message(message), job=self._job, worker=self._worker)
        self._slots[bundle.digest] = slot
        if self._renews:
            compile_ns = time.perf_counter_ns() - began_ns
            _, best_ns = self._renewable.get(bundle.digest, (None, compile_ns))
            self._renewable[bundle.digest] = bundle, min(best_ns, compile_ns)

    def renew(self, digest: str, task_ns: int) -> None:
        """After a task of that bundle which took so long: the next one finds it compiled anew.

        The functions of each task are new closures of the same code.  What LuaJIT has compiled for
        those of the first task is left by a side exit in all others, and a function that calls
        itself takes two to three times as long then.  Beside a long task it costs nothing to begin
        again.
        """
        bundle, compile_ns = self._renewable.get(digest, (None, 0))
        if bundle is None or self.is_spoiled:
            return
        if task_ns < max(RENEWED_NS_MIN, RENEWED_TIMES * compile_ns):
            return
        slot = self._slots.pop(digest)
        try:
            self.load(bundle)
        except ScriptError:  # no room for both
            self._slots[digest] = slot
        else:
            self._doors.unload(slot)

    def unload(self, digest: str) -> None:
        """Forgets a bundle, with the environment that it may have had for the whole job; one that
        is not loaded is left alone.
        """
        self._renewable.pop(digest, None)
        slot = self._slots.pop(digest, None)
        if slot is not None:
            self._doors.unload(slot)

    def start(self, digest: str) -> tuple[list[str], bytes]:
        """Runs the main chunk once, in the job's one environment.

        Returns:
            Which of the contract's functions the script defines; msgpack of its ``config``.

        Raises:
            ScriptError: see ``config_after_failure`` for what it had set by then.
        """
        self._started = self._slots[digest]
        with self._window(0):
            kind, self.output_bytes, names, config = self._doors.start(self._started)
        if kind is not None:
            self._fail(kind, names, config)
        return _text(names).split(), config

    def config_after_failure(self) -> bytes:
        """What ``config`` was when ``start`` failed, as msgpack; nil when it cannot be sent."""
        if self._started is None or self.is_spoiled:
            return b"\xc0"
        with self._window(0):
            kind, self.output_bytes, config, _ = self._doors.config_after_failure(self._started)
        return b"\xc0" if kind is not None else bytes(config)

    # -- calls ---------------------------------------------------------------------------------

    def call(
        self,
        digest: str,
        entry: str,
        context: Context,
        buffers: Sequence[Buffer] = (),
        form: CallForm = CallForm.DATA,
    ) -> list[ResultBuffer]:
        """Calls one of the script's functions; see the profile for the environment it gets.

        Args:
            digest: of the bundle.
            entry: a global of the script, or ``RETURNED``.
            context: where it stands in its job.
            buffers: the payload that it takes, none where it takes nothing.
            form: what the payload is to it; not a batch.

        Returns:
            The payload of its result.  Blocks of it in the outbound memory are the caller's, who
            must see to it that they are released.

        Raises:
            ScriptError: whatever went wrong in it, or with what it returned.
        """
        name = self._name(entry)
        index, count, round_, attempt = context
        is_task = self._is_worker or entry in INDEXED
        payload, places, lua_bytes, held = passed = self._passage.enter(buffers)
        try:
            if self._memory_bytes and not self._memory.open_window(lua_bytes):
                self._fail(b"memory", b"", b"", entry, index if is_task else None)
            try:
                if places is not None:
                    places = self._passage.told(places)
                kind, self.output_bytes, text, more = self._doors.call(
                    self._slots[digest], name, index, count, round_, attempt, payload, form, places
                )
            except self._error_type as error:
                kind, text, more = self._escaped(error)
            finally:
                if self._memory_bytes:
                    self._lua.set_max_memory(0)
            if kind is not None:
                self._fail(kind, text, more, entry, index if is_task else None)
            return [text] if more is None else self._passage.leave(text, more)
        finally:
            if held:
                passed.close()

    def call_batch(
        self, digest: str, entry: str, context: Context, buffers: Sequence[Buffer]
    ) -> tuple[list[ResultBuffer], ScriptError | None]:
        """Calls a function for each item of a batch, all in one environment.

        Returns:
            The payload of the results (a msgpack array) up to the first item that failed, and how
            it did: its ``item`` is the position in the batch.

        Raises:
            ScriptError: nothing came of the batch at all.
        """
        index, count, round_, attempt = context
        slot, name = self._slots[digest], self._name(entry)
        with closing(self._passage.enter(buffers)) as passed:
            with self._window(passed.lua_bytes):
                places = self._passage.told(passed.places)
                kind, self.output_bytes, text, more, *done = self._doors.batch(
                    slot, name, index, count, round_, attempt, passed.payload, places
                )
            if kind is None:
                return self._passage.leave(text, more), None
            results = self._passage.leave(*done[1:]) if done else []
        try:
            self._fail(kind, text, more, entry, index)
        except ScriptError as error:
            if not done:
                raise
            error.item = int(done[0])
            return results, error

    def _name(self, entry: str) -> bytes:
        name = self._names.get(entry)
        if name is None:
            name = self._names[entry] = entry.encode()
        return name

    def tell_dropped(self) -> None:
        """Prints, as the last call's, how much was dropped of what scripts printed, if any was.

        A call's end does not tell it each time, so whoever makes no further call at once asks.
        """
        self.output_bytes = self._doors.tell_dropped()

    def store(self, index: int, buffers: Sequence[Buffer]) -> None:
        """``results[index + 1]`` of the driver's environment.

        Raises:
            ScriptError: it is no Lua value, or there is no room for it.
        """
        payload, places, lua_bytes, held = passed = self._passage.enter(buffers)
        try:
            if self._memory_bytes and not self._memory.open_window(lua_bytes):
                self._fail(b"memory", b"", b"")
            try:
                if places is not None:
                    places = self._passage.told(places)
                kind, self.output_bytes, text, trace = self._doors.store(index, payload, places)
            except self._error_type as error:
                kind, text, trace = self._escaped(error)
            finally:
                if self._memory_bytes:
                    self._lua.set_max_memory(0)
            if kind is not None:
                self._fail(kind, text, trace, None, index)
        finally:
            if held:
                passed.close()

    def store_error(self, index: int, message: str) -> None:
        """``errors[index + 1]`` of the driver's environment."""
        data = message.encode(errors="replace")
        with self._window(len(data)):
            self._doors.store_error(index, data)

    # -- shared data ---------------------------------------------------------------------------

    def share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        """``shared_data`` of that round's tasks; what an earlier round shared is forgotten.

        Its arrays are read where they lie, so the buffers are held until then.

        Raises:
            ScriptError: it is no Lua value, or there is no room for it.
        """
        self.unshare()
        try:
            self._share(round_, buffers)
        except ScriptError:
            self.unshare()
            raise
        self._memory.collect()

    def _share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        passed = self._passage.enter(buffers)
        self._shared_held = passed.held
        with self._window(passed.lua_bytes):
            kind, self.output_bytes, text, trace = self._doors.share(
                round_, passed.payload, self._passage.told(passed.places)
            )
        if kind is None:
            self._memory.collect()  # the payload goes before its image comes
            with self._window(0):
                kind, self.output_bytes, text, trace = self._doors.watch_shared()
        if kind is not None:
            self._fail(kind, text, trace)

    def unshare(self) -> None:
        """Frees what was shared."""
        self._doors.share(0, None, None)
        self._memory.collect()
        for buffer in self._shared_held:
            buffer.release()
        self._shared_held = ()

    def check_shared(self) -> str | None:
        """Compares all of the shared data with what it was.

        Returns:
            None if nobody wrote into it; else the table that was, as in a script: ``.list[2]``.
            The state is spoiled then.
        """
        where = self._doors.check_shared()
        if where is None:
            return None
        self.is_spoiled = True
        return _message(where)

    # -- memory --------------------------------------------------------------------------------

    def close(self) -> None:
        """Drops the state.  Its finalisers are the library's own: none of a script's runs."""
        self._doors = _Doors(*[_closed] * len(_Doors._fields))
        self._memory.close()
        self._memory_bytes = 0
        self._lua = None

    @contextmanager
    def _window(self, input_bytes: int) -> Iterator[None]:
        """The same around what is not done for every task, where each microsecond counts."""
        if self._memory_bytes and not self._memory.open_window(input_bytes):
            self._fail(b"memory", b"", b"")
        try:
            yield
        except self._error_type as error:
            kind, text, trace = self._escaped(error)
            self._lua.set_max_memory(0)
            self._fail(kind, text, trace)
        finally:
            if self._memory_bytes:
                self._lua.set_max_memory(0)

    def _escaped(self, error: Exception) -> tuple[bytes, bytes, bytes]:
        """What got past the library's own protection: memory, and nothing else that is known.

        The library did not end the call, so arrays may be alive in buffers that will be no more.
        """
        self.is_spoiled = True
        if isinstance(error, MemoryError) or "not enough memory" in str(error):
            return b"memory", b"", b""
        return b"runtime", str(error).encode()[: limits.ERROR_MESSAGE_BYTES_MAX], b""

    def _fail(
        self,
        kind: bytes,
        message: bytes,
        traceback: bytes,
        function: str | None = None,
        index: int | None = None,
    ) -> NoReturn:
        text = _message(message)
        if kind == b"memory":
            self.is_spoiled = True
            text = self._memory.exhausted()
        raise ScriptError(
            _text(kind),
            text,
            _text(traceback)[: limits.TRACEBACK_BYTES_MAX],
            function=function,
            index=index,
            worker=self._worker,
            job=self._job,
        )


def _deny(*_: object) -> NoReturn:
    """No attribute of any Python object, should one ever get into Lua."""
    raise AttributeError


def _closed(*_: object) -> NoReturn:
    raise InternalError("this Lua state is closed")


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _message(data: bytes) -> str:
    """Bounded again: a byte that is not UTF-8 becomes four characters."""
    return _text(data)[: limits.ERROR_MESSAGE_BYTES_MAX]


def _boot(lua: Any, settings: dict[bytes, Any]) -> _Doors:
    sources = library_sources()
    boot = lua.execute(b"return load")(sources[b"boot"], b"=[midas boot]", b"t")
    settings[b"arg"] = lua.table_from(settings[b"arg"])
    return _Doors(*boot(lua.table_from(sources), lua.table_from(settings)))
