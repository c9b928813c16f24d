"""What holds for every test; and the command ``midas`` as a person starts it.

Commands are real processes.  All processes of a test carry its own folder in ``TMPDIR``, however
they came about, so that one that outlives its test is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeVar

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings

from midas_mp.testing.virtual_time import VirtualTimeLoop
from midas_mp.transport import loop

T = TypeVar("T")

# How long an example takes says how busy the machine is: tests run in parallel, CI on shared cores.
settings.register_profile("midas", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("midas")

MIDAS: Final = (sys.executable, "-m", "midas_mp")

PATIENCE_S: Final = 40.0
"""For anything that must come; on an idle machine it comes within a second."""

POLL_S: Final = 0.01
"""Between two looks at what the kernel says about processes, which nothing announces."""

BUSY_CPU_S: Final = 0.1
"""Of user time: more than a Lua process needs to start."""


def pytest_configure(config: pytest.Config) -> None:
    """Commands start as they do for people, whose Python keeps what it has compiled.

    Where it is told not to, each of some thousand processes would compile all of Midas anew.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))


class Finished(NamedTuple):
    """How a command ended.  Bytes that are not UTF-8 are surrogates in the text."""

    code: int
    out: str
    err: str


class Command:
    """One command under way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._changed = threading.Condition()
        self._texts = {"out": bytearray(), "err": bytearray()}
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", process.stdout), ("err", process.stderr))
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self._text("out")

    @property
    def err(self) -> str:
        return self._text("err")

    def wait_for(self, pattern: str, *, count: int = 1) -> re.Match[str]:
        """The last of so many matches in what the command wrote to stdout or stderr."""
        with self._changed:
            until = time.monotonic() + PATIENCE_S
            while len(found := list(re.finditer(pattern, self.err + self.out))) < count:
                left = until - time.monotonic()
                is_over = not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or is_over or not self._changed.wait(left):
                    pytest.fail(f"no {pattern!r} came; stderr: {self.err}\nstdout: {self.out}")
            return found[count - 1]

    def wait_until(self, look: Callable[[], object]) -> None:
        """For what the command does to something else."""
        self._until(look, "what was waited for")

    def address(self) -> str:
        """Where this host listens."""
        return self.wait_for(r"listening on (127\.0\.0\.1:\d+)")[1]

    def say(self, line: str) -> None:
        """A line on its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def send(self, signum: int) -> None:
        self.process.send_signal(signum)

    def wait(self) -> Finished:
        """Its end, by itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return Finished(self.process.returncode, self.out, self.err)

    def stop(self, signum: int = signal.SIGTERM) -> Finished:
        self.send(signum)
        return self.wait()

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    # -- its processes -----------------------------------------------------------------------------

    def zygote(self) -> psutil.Process:
        return self._until(lambda: psutil.Process(self.pid).children(), "a zygote")[0]

    def children(self, count: int) -> list[psutil.Process]:
        """The Lua processes: workers and, where a script runs, its own."""
        zygote = self.zygote()
        return self._until(lambda: self._as_many(zygote.children(), count), f"{count} children")

    def busy_children(self, count: int) -> list[psutil.Process]:
        """Those that compute, when there are so many."""
        zygote = self.zygote()

        def find() -> list[psutil.Process]:
            children = zygote.children()
            return self._as_many([c for c in children if c.cpu_times().user > BUSY_CPU_S], count)

        return self._until(find, f"{count} busy children")

    @staticmethod
    def _as_many(children: list[psutil.Process], count: int) -> list[psutil.Process]:
        return children if len(children) == count else []

    @staticmethod
    def _until(look: Callable[[], T], what: str) -> T:
        until = time.monotonic() + PATIENCE_S
        while not (found := look()):
            assert time.monotonic() < until, f"there never was {what}"
            time.sleep(POLL_S)
        return found

    # -- its streams -------------------------------------------------------------------------------

    def _read(self, name: str, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), 65_536):
            with self._changed:
                self._texts[name] += data
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _text(self, name: str) -> str:
        return self._texts[name].decode("utf-8", "surrogateescape")

    def release(self) -> None:
        """Ends it if the test has not, and closes its streams."""
        if self.process.poll() is None:
            self.kill()
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Commands:
    """Starts commands in one folder, with an environment that says nothing about Midas."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands: list[Command] = []
        usual = {name: v for name, v in os.environ.items() if not name.startswith("MIDAS_")}
        self._environment = usual | {"TMPDIR": str(folder)}

    def start(
        self,
        *args: str | Path | bytes,
        command: Sequence[str] = MIDAS,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> Command:
        process = subprocess.Popen(
            [*command, *args],
            env=self._environment | (env or {}),
            cwd=cwd or self._folder,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._commands.append(Command(process))
        return self._commands[-1]

    def release(self) -> None:
        for command in self._commands:
            command.release()

    def survivors(self) -> list[psutil.Process]:
        """Processes of this test that still are; a zombie is its new parent's affair."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TMPDIR") == str(self._folder):
                    found.append(process)
        return found


@contextlib.contextmanager
def running_commands(folder: Path) -> Iterator[Commands]:
    """Checks in the end that nothing is left of what was started, even where it was killed."""
    commands = Commands(folder)
    yield commands
    commands.release()
    _, alive = psutil.wait_procs(commands.survivors(), timeout=PATIENCE_S)
    for process in alive:
        process.kill()
    assert alive == []


@pytest.fixture(scope="session", autouse=True)
def secrets_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All processes of the tests belong to one user, who is not the one that runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with running_commands(tmp_path) as commands:
        yield commands


@pytest.fixture(scope="session")
def standing_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """For what outlives a test."""
    with running_commands(tmp_path_factory.mktemp("standing")) as commands:
        yield commands


@pytest.fixture(scope="session")
def standing_host(standing_commands: Commands) -> str:
    """The address of a host with two participants of one worker each, for tests that harm none of
    them.
    """
    where = standing_commands.start("host", "--address", "127.0.0.1:0").address()
    for name in ("left", "right"):
        node = standing_commands.start(
            "participant", "--address", where, "--name", name, "--workers", "1"
        )
        node.wait_for("joined")
    return where


@pytest.fixture
def start(commands: Commands) -> Callable[..., Command]:
    """``start("host", "--address", ":0")`` starts a command and returns at once."""
    return commands.start


@pytest.fixture
def midas(commands: Commands) -> Callable[..., Finished]:
    """``midas("run", script)`` runs a command to its end; its stdin is empty or ``given``."""

    def run(*args: str | Path | bytes, given: str = "", **options: Any) -> Finished:
        command = commands.start(*args, **options)
        if given:
            command.say(given)
        return command.wait()

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Writes a job out of the bodies of its functions.

    Where nothing is said, task i returns i and the answer lists what all tasks returned: each
    index once and in order if all is well.
    """

    def write(
        execute: str = "return global_data.index",
        *,
        top: str = "",
        generate: str = "return { index = index }",
        interpret: str = 'return table.concat(results, ",")',
        name: str = "job.lua",
    ) -> Path:
        path = tmp_path / name
        path.write_text(
            f"{top}\n"
            f"function generate_data(index, count) {generate} end\n"
            f"function execute_code() {execute} end\n"
            f"function interpret_results() {interpret} end\n",
            encoding="utf-8",
        )
        return path

    return write


# -- a site with an authority of its own -----------------------------------------------------------

_Issuer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def _certificate(
    folder: Path,
    name: str,
    issuer: _Issuer | None = None,
    *,
    days: int = 1,
    address: str = "127.0.0.1",
) -> _Issuer:
    """A certificate and its key, signed by an issuer or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer, signing = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        .sign(signing, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.pem and NAME.key of an authority, ``ca``, and of what it has signed for
    this machine: ``host``, ``node``, ``expired``; for another one: ``elsewhere``.  And of a
    ``stranger``, who has signed his own.
    """
    folder = tmp_path_factory.mktemp("site")
    authority = _certificate(folder, "ca")
    for name in ("host", "node"):
        _certificate(folder, name, authority)
    _certificate(folder, "expired", authority, days=-1)
    _certificate(folder, "elsewhere", authority, address="192.0.2.7")
    _certificate(folder, "stranger")
    return folder


# -- in the loop of this process -------------------------------------------------------------------


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a process of its own behind."""
    before = set(psutil.Process().children(recursive=True))
    yield
    started = set(psutil.Process().children(recursive=True)) - before
    _, alive = psutil.wait_procs(started, timeout=PATIENCE_S)
    assert alive == []


@pytest.fixture
def run(nothing_left: None) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine on the loop that Midas uses.

    Fails a test of whose doings the loop complained (a receiver or a callback that raised), and
    one that leaves a task behind.
    """

    async def bounded(main: Coroutine[Any, Any, T]) -> T:
        complaints: list[dict[str, Any]] = []
        running = asyncio.get_running_loop()
        running.set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(PATIENCE_S):
            result = await main
        for _ in range(3):  # what was cancelled at the end takes a turn to notice
            await asyncio.sleep(0)
        assert complaints == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return lambda main: loop.run(bounded(main))


@pytest.fixture
def run_by_its_own_clock() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Where a minute is over at once, and a machine that is busy takes no time."""

    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], Coroutine[Any, Any, None]]:
    """Waits, in ``run``, for a state that nobody announces."""

    async def wait(condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(POLL_S)

    return wait
