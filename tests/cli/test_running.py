"""Signals, and how an answer is printed."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys

import psutil
import pytest

from midas_mp.cli.running import Stopped, print_answer, until_stopped
from midas_mp.errors import InternalError
from midas_mp.transport import loop

SPIN = 'print("spinning") while true do end'
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def test_what_the_work_returns_is_returned_and_signals_are_as_before():
    before = [signal.getsignal(signum) for signum in SIGNALS]

    async def work():
        await asyncio.sleep(0)
        return 42

    assert loop.run(until_stopped(work())) == 42
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_the_first_sigterm_may_let_the_work_end_by_itself():
    told = []

    async def work(is_over):
        signal.raise_signal(signal.SIGTERM)
        await is_over.wait()
        return "done"

    async def main():
        is_over = asyncio.Event()
        return await until_stopped(work(is_over), announce=told.append, drain=is_over.set)

    before = [signal.getsignal(signum) for signum in SIGNALS]
    assert loop.run(main()) == "done"
    assert told == ["SIGTERM: nothing new is taken; once more to stop at once"]
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_the_second_signal_cancels_what_was_to_end_by_itself():
    async def work():
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGINT)
        await asyncio.get_running_loop().create_future()

    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        with pytest.raises(Stopped) as caught:
            loop.run(until_stopped(work(), drain=lambda: None))
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    assert caught.value.signum == signal.SIGINT


def test_a_cancellation_that_no_signal_caused_stays_one():
    async def work():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        loop.run(until_stopped(work()))


def test_a_callback_that_breaks_ends_the_work_instead_of_leaving_it_to_wait_for_ever():
    async def work():
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(InternalError, match="ZeroDivisionError") as caught:
        loop.run(until_stopped(work()))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_stopped_says_by_what_and_has_the_exit_code_of_shells():
    assert str(Stopped(signal.SIGTERM)) == "stopped by SIGTERM"
    assert Stopped(signal.SIGTERM).exit_code == 143


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("place", ["top", "generate", "execute", "interpret"])
def test_a_signal_ends_a_run_in_order_wherever_it_is(start, script, signum, place):
    run = start("run", script(**{place: SPIN}), "--tasks", "1")
    run.wait_for("spinning")
    ended = run.stop(signum)
    assert (ended.code, ended.out) == (SIGNALS[signum], "")
    assert ended.err.endswith(f"midas: stopped by {signum.name}\n")
    assert "Traceback" not in ended.err


def test_under_nohup_the_end_of_the_terminal_is_nothing(start, script):
    command = ("nohup", sys.executable, "-m", "midas_mp")
    run = start("run", script(SPIN), "--tasks", "1", command=command)
    run.wait_for("spinning")
    run.send(signal.SIGHUP)  # of signals that wait, the least comes first
    ended = run.stop(signal.SIGTERM)
    assert ended.code == 143
    assert ended.err.endswith("midas: stopped by SIGTERM\n")


def states(processes):
    return {process.status() for process in processes}


def test_ctrl_z_suspends_the_workers_too(start, script):
    run = start("run", script("while os.clock() < 1 do end return 1"), "--tasks", "1")
    workers = run.busy_children(1)
    run.send(signal.SIGTSTP)
    everybody = [psutil.Process(run.pid), *workers]
    run.wait_until(lambda: states(everybody) == {psutil.STATUS_STOPPED})
    run.send(signal.SIGCONT)
    assert run.wait()[:2] == (0, "1\n")  # a busy machine has it named as long


def test_a_suspended_command_can_be_ended(start, script):
    run = start("run", script(SPIN), "--tasks", "1")
    run.wait_for("spinning")
    run.send(signal.SIGTSTP)
    run.wait_until(lambda: psutil.Process(run.pid).status() == psutil.STATUS_STOPPED)
    run.send(signal.SIGTERM)
    run.send(signal.SIGCONT)
    assert run.wait().code == 143


def test_a_run_that_reads_stdin_can_be_stopped(start, script):
    run = start("run", script(generate='print("reading") return io.read()'), "--tasks", "1")
    run.wait_for("reading")
    run.send(signal.SIGINT)
    run.process.wait(40)
    assert run.process.returncode == 130


@pytest.mark.parametrize(
    ("role", "signum"),
    [
        *((role, s) for role in ("host", "host with a script") for s in SIGNALS),
        ("participant", signal.SIGINT),
        ("participant", signal.SIGHUP),
    ],
)
def test_a_signal_ends_the_others_too(start, script, signum, role):
    options = ["--address", "127.0.0.1:0"]
    match role:
        case "host":
            command = start("host", *options)
            command.wait_for("listening")
        case "host with a script":
            command = start("host", script(), *options)
            command.wait_for("listening")
        case "participant":
            where = start("host", *options).address()
            command = start("participant", "--address", where, "--workers", "1")
            command.wait_for("joined")
    ended = command.stop(signum)
    assert (ended.code, ended.out) == (SIGNALS[signum], "")
    assert f"midas: stopped by {signum.name}\n" in ended.err
    assert "Traceback" not in ended.err


def test_a_participant_that_waits_for_a_host_can_be_stopped(start):
    command = start("participant", "--address", "127.0.0.1:1", "--workers", "1")
    command.wait_for("waiting for a host")
    assert command.stop(signal.SIGINT).code == 130


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_what_hangs(start, signum):
    where = start("host", "--address", "127.0.0.1:0").address()
    node = start("participant", "--address", where, "--workers", "1")
    node.wait_for("joined")
    zygote, (worker,) = node.zygote(), node.children(1)
    zygote.suspend()  # so that taking it down hangs
    node.send(signal.SIGINT)
    node.wait_for(r"stopping \(SIGINT\); once more to stop at once")
    ended = node.stop(signum)
    assert ended.code == SIGNALS[signum]
    assert "stopped by" not in ended.err
    zygote.resume()
    assert psutil.wait_procs([zygote, worker], timeout=20)[1] == []


def test_a_terminal_obeys_no_answer(monkeypatch):
    leader, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        print_answer("\x1b[32mgreen\x1b[0m\x1b]52;c;ZXZpbA==\x07")
        shown = os.read(leader, 1000)
    os.close(leader)
    assert shown == b"\x1b[32mgreen\x1b[0m\\x1b]52;c;ZXZpbA==\\x07\r\n"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, b""),
        ("größer", "größer\n".encode()),
        (b"\xff\x00", b"\xff\x00\n"),
        (3, b"3\n"),
        (math.pi, b"3.1415926535898\n"),
        ("", b"\n"),
    ],
)
def test_an_answer_is_printed_as_bytes(value, printed, capfdbinary):
    print_answer(value)
    assert capfdbinary.readouterr().out == printed
