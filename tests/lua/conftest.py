"""What tests of Lua need: a state, a way to call a script in it, and what it printed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgpack
import pytest

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.engines import ENGINES
from midas_mp.lua.output import OutputParser, Printed, Progressed
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.permissions import NO_FILES, NO_LANDLOCK, Refusals
from midas_mp.wire.messages import RETURNED, JobSpec

MEMORY_BYTES = 64 * limits.MB


def usual_refusals(profile):
    """A script process reads files, and would write some where there were landlock."""
    if profile is Profile.DRIVER:
        return Refusals(write=NO_LANDLOCK)
    return NO_FILES


class Script:
    """One runtime with one bundle: ``call`` speaks Python values."""

    def __init__(
        self,
        source,
        modules=None,
        *,
        profile=Profile.WORKER,
        memory_bytes=MEMORY_BYTES,
        refusals=None,
        page_mark=(0, b""),
        outbound=None,
        main="script.lua",
        **spec,
    ):
        self._output, output_fd = os.pipe()
        os.set_blocking(self._output, False)
        self._output_fd = output_fd
        self.parser = OutputParser()
        self.runtime = Runtime(
            profile=profile,
            job="job-1",
            spec=JobSpec(**spec),
            worker="w-0",
            node="node",
            output_fd=output_fd,
            memory_bytes=memory_bytes,
            refusals=refusals or usual_refusals(profile),
            page_mark=page_mark,
            outbound=outbound,
        )
        modules = modules or {}
        self.bundle = Bundle.from_sources(
            main, list(modules), [source.encode(), *(m.encode() for m in modules.values())]
        )
        try:
            self.runtime.load(self.bundle)
        except ScriptError:
            self.close()
            raise

    def call(self, entry="execute_code", payload=None, *, count=1, **where):
        buffers = [] if payload is None else [msgpack.packb(payload)]
        context = Context(**{"index": 0, "count": count, **where})
        (result,) = self.runtime.call(self.bundle.digest, entry, context, buffers)
        return msgpack.unpackb(result, strict_map_key=False)

    def call_buffers(self, entry="execute_code", *buffers, count=1, **where):
        """All buffers of the result."""
        context = Context(**{"index": 0, "count": count, **where})
        return self.runtime.call(self.bundle.digest, entry, context, buffers)

    def call_batch_buffers(self, arity, *arguments):
        """All buffers of the results of what the source returns, and the error."""
        data = msgpack.packb([arity, 0, *arguments])
        return self.runtime.call_batch(self.bundle.digest, RETURNED, Context(0, 0), [data])

    def share(self, value, *buffers):
        self.runtime.share(0, [msgpack.packb(value), *buffers])

    def start(self):
        functions, config = self.runtime.start(self.bundle.digest)
        return functions, msgpack.unpackb(config)

    def fail(self, entry="execute_code", payload=None, **context) -> ScriptError:
        with pytest.raises(ScriptError) as caught:
            self.call(entry, payload, **context)
        return caught.value

    def records(self) -> list[Printed | Progressed]:
        found = []
        try:
            while data := os.read(self._output, 2**16):
                found += self.parser.feed(data)
        except BlockingIOError:
            return found
        return found

    def printed(self) -> list[bytes]:
        return [record.text for record in self.records()]

    def close(self):
        self.runtime.close()
        os.close(self._output)
        os.close(self._output_fd)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """Each in turn; a test that is about some only says so: ``parametrize("engine", PLAIN)``."""
    return request.param


@pytest.fixture
def script(engine) -> Iterator[type[Script]]:
    opened: list[Script] = []

    def open_script(source, modules=None, **settings):
        opened.append(Script(source, modules, **{"engine": engine, **settings}))
        return opened[-1]

    yield open_script
    for each in opened:
        each.close()


@pytest.fixture
def task(script):
    """Runs the body of an execute_code and returns what it returns."""

    def run(body, payload=None, **settings):
        return script(f"function execute_code()\n{body}\nend", **settings).call(payload=payload)

    return run


@pytest.fixture
def failing(script):
    """Runs the body of an execute_code and returns how it failed."""

    def run(body, payload=None, **settings):
        return script(f"function execute_code()\n{body}\nend", **settings).fail(payload=payload)

    return run


@pytest.fixture(scope="module")
def echo(engine):
    """Lua decodes, Lua encodes: bytes in, bytes out."""
    output = os.open(os.devnull, os.O_WRONLY)
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(engine=engine),
        worker="w",
        node="n",
        output_fd=output,
        memory_bytes=256 * limits.MB,
    )
    source = b"function execute_code() return global_data end"
    bundle = Bundle.from_sources("echo.lua", [], [source])
    runtime.load(bundle)
    yield lambda data: runtime.call(bundle.digest, "execute_code", Context(0, 1), [data])[0]
    runtime.close()
    os.close(output)
