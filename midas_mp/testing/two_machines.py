"""Two machines on this one, and the network between them: ``python -m
midas_mp.testing.two_machines --what cut --repeat 20``.

    network namespace "here" ══ veth, which may be cut, deaf, lossy or narrow ══ "there"
      midas host SCRIPT                                                     midas participant

What a proxy can only play the kernel does here: packets are really lost, nobody is told, and TCP
has to find out.  Needs root, ip and tc, and for ``loss`` nft.  A job runs, its network fails in the
middle of it and is mended; the answer must be right, and come.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple, Self

import click

HERE: Final = "10.77.0.1"
THERE: Final = "10.77.0.2"
PORT: Final = 3000

TASKS: Final = 60
STEPS: Final = 20_000
"""Of each task: some 20 ms, so that the job takes a second or two in calm times."""

BEFORE_TASKS: Final = 10
"""Said that they run before anything goes wrong."""

PATIENCE_S: Final = 150.0
"""For the end of a job after its network was mended: a participant tries again twice a minute."""

_POLL_S: Final = 0.01

_RAN: Final = re.compile(r"\] ran (\d+)$", re.MULTILINE)


class TwoMachines:
    """The two namespaces; use it with ``with``."""

    def __init__(self) -> None:
        self.here, self.there = (f"midas-{side}-{os.getpid()}" for side in ("here", "there"))

    def __enter__(self) -> Self:
        try:
            for name, address in ((self.here, HERE), (self.there, THERE)):
                _do("ip", "netns", "add", name)
                self._inside(name, "ip", "link", "set", "lo", "up")
                if name == self.there:
                    peer = ("veth0", "type", "veth", "peer", "name", "veth0", "netns", self.there)
                    self._inside(self.here, "ip", "link", "add", *peer)
                    self._inside(self.here, "ip", "address", "add", f"{HERE}/24", "dev", "veth0")
                    self._inside(
                        self.there, "ip", "address", "add", f"{address}/24", "dev", "veth0"
                    )
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)  # noqa: S603, S607

    def command(self, name: str, *words: str) -> list[str]:
        """What runs a command of midas there."""
        return ["ip", "netns", "exec", name, sys.executable, "-m", "midas_mp", *words]

    def cut(self) -> None:
        """The cable is out; both sides see that."""
        self._inside(self.there, "ip", "link", "set", "veth0", "down")

    def deafen(self) -> None:
        """What is said there is not heard here."""
        self._inside(self.there, "ip", "route", "add", "blackhole", f"{HERE}/32")

    def lose(self) -> None:
        """One packet in five is lost on its way here."""
        rules = (
            "add table inet midas; add chain inet midas in { type filter hook input priority 0; }; "
            "add rule inet midas in meta iifname veth0 numgen random mod 100 < 20 drop"
        )
        self._inside(self.here, "nft", rules)

    def narrow(self) -> None:
        """1 Mbit a second each way."""
        shape = ("tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms")
        for name in (self.here, self.there):
            self._inside(name, "tc", "qdisc", "replace", "dev", "veth0", "root", *shape)

    def mend(self) -> None:
        """All is well again."""
        for name in (self.here, self.there):
            self._inside(name, "ip", "link", "set", "veth0", "up")
            self._inside(name, "tc", "qdisc", "del", "dev", "veth0", "root", may_fail=True)
        self._inside(self.there, "ip", "route", "del", "blackhole", f"{HERE}/32", may_fail=True)
        if shutil.which("nft"):
            self._inside(self.here, "nft", "delete table inet midas", may_fail=True)

    def _inside(self, name: str, *words: str, may_fail: bool = False) -> None:
        _do("ip", "netns", "exec", name, *words, may_fail=may_fail)


class Mishap(NamedTuple):
    """Attributes:
    act: what happens.
    lasts_s: and for how long; 0 is to the end of the job.
    needs: a command beside ip.
    """

    act: Callable[[TwoMachines], None]
    lasts_s: float
    needs: str = "tc"


MISHAPS: Final[dict[str, Mishap]] = {
    "cut": Mishap(TwoMachines.cut, 3.0),
    "long-cut": Mishap(TwoMachines.cut, 20.0),
    "one-way": Mishap(TwoMachines.deafen, 20.0),
    "loss": Mishap(TwoMachines.lose, 0.0, "nft"),
    "narrow": Mishap(TwoMachines.narrow, 0.0),
}


class Journey(NamedTuple):
    """What came of one job.

    Attributes:
        what: the mishap.
        ran: how often a task said that it runs.
        ended_s: from when all was well again (or the mishap began, if it stayed) to the end.
        problem: empty if all is well.
    """

    what: str
    ran: int
    ended_s: float
    problem: str = ""

    def __str__(self) -> str:
        verdict = self.problem or "the right answer"
        return f"{self.what}: {TASKS} tasks ran {self.ran} times, {self.ended_s:.1f} s: {verdict}"


def lacking(what: str) -> str:
    """Why a mishap cannot be had here; empty if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "only root on Linux can have network namespaces"
    for command in ("ip", "tc", MISHAPS[what].needs):
        if shutil.which(command) is None:
            return f"there is no {command} here"
    return ""


def travel(what: str) -> Journey:
    """Runs a job with this mishap in the middle of it."""
    mishap = MISHAPS[what]
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(TwoMachines())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midas-machines-")))
        script = resources.files("midas_mp.testing").joinpath("steps.lua")
        where = ("--address", f"{HERE}:{PORT}")
        job = ("--tasks", str(TASKS), "--no-progress", "--", str(STEPS))
        host = stack.enter_context(
            _started(machines.command(machines.here, "host", str(script), *where, *job), folder)
        )
        words = ("participant", *where, "--workers", "2")
        stack.enter_context(_started(machines.command(machines.there, *words), folder))
        said = folder / "host"
        _wait(lambda: len(_ran(said)) >= BEFORE_TASKS or host.poll() is not None)
        mishap.act(machines)
        if mishap.lasts_s:
            time.sleep(mishap.lasts_s)
            machines.mend()
        since_s = time.monotonic()
        try:
            out, _ = host.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            problem = f"no answer within {PATIENCE_S:g} s"
        else:
            answer = ",".join(map(str, range(TASKS))).encode() + b"\n"
            is_right = (host.returncode, out) == (0, answer)
            problem = "" if is_right else f"exit code {host.returncode}, {out!r}"
        return Journey(what, len(_ran(said)), time.monotonic() - since_s, problem)


@contextlib.contextmanager
def _started(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command whose stderr is in a file named after what it is; it is killed in the end."""
    name = "participant" if "participant" in command else "host"
    with (folder / name).open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            command,
            env=os.environ | {"MIDAS_INSECURE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _ran(said: Path) -> list[str]:
    return _RAN.findall(said.read_text(encoding="utf-8", errors="replace"))


def _wait(look: Callable[[], object]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not look() and time.monotonic() < until_s:
        time.sleep(_POLL_S)


def _do(*words: str, may_fail: bool = False) -> None:
    subprocess.run(words, capture_output=True, check=not may_fail)  # noqa: S603 - words of ours


@click.command()
@click.option("--what", type=click.Choice(["all", *MISHAPS]), default="all", help="What happens.")
@click.option("--repeat", default=1, show_default=True, help="How often.")
def main(what: str, repeat: int) -> None:
    """Have the network between two machines fail while a job runs."""
    is_wrong = False
    for each in MISHAPS if what == "all" else [what]:
        reason = lacking(each)
        if reason:
            click.echo(f"{each}: not tried, {reason}")
            continue
        for _ in range(repeat):
            journey = travel(each)
            is_wrong |= bool(journey.problem)
            click.echo(str(journey))
    if is_wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
