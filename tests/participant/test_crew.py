"""Real workers, behind a launcher at a host that the test plays over a memory link."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from midas_mp import limits
from midas_mp.errors import ProcessLost
from midas_mp.participant.crew import EARLY_DEATHS_MAX
from midas_mp.wire.framing import Frame, encode, encode_all, head
from midas_mp.wire.local import BlobRef, ReleaseBlobs, ResultsStored
from midas_mp.wire.management import KillWorker, PauseWorker
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    EndJob,
    Hello,
    LimitTasks,
    Outcome,
    RecallTasks,
    Status,
    TaskPrinted,
    TaskRef,
    TaskResults,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerUp,
)
from midas_mp.wire.vocabulary import AnyMessage

MB = 2**20

ECHO = "function execute_code() return global_data end"

BY_NAME = """
local acts = {
  echo = function(x) return x end,
  loop = function() print("looping") while true do end end,
  boom = function() error("boom") end,
}
function execute_code()
  local name, x = global_data[1], global_data[2]
  return acts[name](x)
end
"""


def channels(host, kind) -> list[int]:
    return [frame.channel for frame in host.frames if isinstance(frame.message, kind)]


# -- registration --------------------------------------------------------------------------------


def test_each_worker_registers_under_its_own_name(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node(workers=3) as n:
            host = n.meet()
            ups = await host.welcome("lab-2")
            (hello,) = host.heard(Hello)
            assert (hello.name, hello.workers_announced) == ("laptop", 3)
            assert {up.channel: up.name for up in ups} == {
                1: "lab-2-000",
                2: "lab-2-001",
                3: "lab-2-002",
            }
            assert {up.epoch for up in ups} == {0}
            assert all("luajit" in up.engines for up in ups)
            assert n.launcher.name == "lab-2"
            assert "joined the host as lab-2, 3 workers" in n.announced

    run(main())


def test_no_worker_starts_before_the_host_has_named_the_node(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.hear(Hello)
            assert n.supervisor._processes == {}

    run(main())


def test_a_new_process_on_a_seat_has_the_next_epoch(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            n.worker().kill()
            (down,) = await host.hear(WorkerDown)
            ups = await host.hear(WorkerUp, 2)
            assert down.epoch == 0
            assert [(up.epoch, up.name) for up in ups] == [(0, "laptop-000"), (1, "laptop-000")]

    run(main())


# -- tasks ---------------------------------------------------------------------------------------


def test_results_come_on_the_channel_of_their_worker(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(ECHO, workers=2) as (_, host):
            host.submit(1, {0: "a", 1: "b"})
            host.submit(2, {2: "c"})
            assert await host.results(3) == {0: ("OK", "a"), 1: ("OK", "b"), 2: ("OK", "c")}
            by_worker = {
                (frame.channel, outcome.index, frame.message.worker)
                for frame in host.frames
                if isinstance(frame.message, TaskResults)
                for outcome in frame.message.outcomes
            }
            assert by_worker == {
                (1, 0, "laptop-000"),
                (1, 1, "laptop-000"),
                (2, 2, "laptop-001"),
            }

    run(main())


def test_prints_arrive_before_the_result_that_follows_them(
    run: Callable, at_work: Callable
) -> None:
    source = """
    function execute_code()
      for i = 1, 5 do print(("%d"):format(i) .. ("x"):rep(global_data)) end
      return true
    end
    """

    async def main() -> None:
        async with at_work(source, workers=2) as (_, host):
            sizes = {0: 0, 1: 10, 2: 250_000, 3: MB - 1, 4: 3}
            host.submit(1, {0: sizes[0], 2: sizes[2], 4: sizes[4]})
            host.submit(2, {1: sizes[1], 3: sizes[3]})
            await host.results(5)
            printed: dict[int, list[bytes]] = {index: [] for index in sizes}
            for frame in host.frames:
                if isinstance(frame.message, TaskPrinted):
                    assert frame.message.worker == f"laptop-{frame.channel - 1:03d}"
                    printed[frame.message.index].append(bytes(frame.buffers[0]))
                elif isinstance(frame.message, TaskResults):
                    for outcome in frame.message.outcomes:
                        texts = printed[outcome.index]
                        assert [text[:1] for text in texts] == [b"1", b"2", b"3", b"4", b"5"]
                        assert {len(text) for text in texts} == {sizes[outcome.index] + 1}

    run(main())


def test_recall_gives_back_only_what_has_not_begun(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (_, host):
            host.submit(1, {0: ["loop"], 1: ["echo", 1], 2: ["echo", 2], 3: ["echo", 3]})
            await host.printed(b"looping")
            host.say(RecallTasks(2), channel=1)
            host.say(RecallTasks(9), channel=1)
            host.say(RecallTasks(9), channel=1)
            answers = await host.hear(TasksReturned, 3)
            assert [[ref.index for ref in answer.tasks] for answer in answers] == [[2, 3], [1], []]
            assert set(channels(host, TasksReturned)) == {1}
            assert host.outcomes() == {}

    run(main())


@pytest.mark.parametrize("asked", [RecallTasks(1_000), EndJob("j" * 128)])
def test_however_many_go_back_the_headers_hold_them(
    asked: AnyMessage, run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(BY_NAME, job="j" * 128)
            host.submit(1, {0: ["loop"]}, job="j" * 128)
            await host.printed(b"looping")
            for start in range(1, 1_000, 200):
                host.submit(1, dict.fromkeys(range(start, start + 200)), job="j" * 128)
            host.say(asked, channel=1 if isinstance(asked, RecallTasks) else 0)

            def returned() -> list[TaskRef]:
                return [ref for answer in host.heard(TasksReturned) for ref in answer.tasks]

            await host.until(lambda: len(returned()) == 1_000)
            assert {ref.index for ref in returned()} == set(range(1, 1_001))
            for answer in host.heard(TasksReturned):
                assert encode(Frame(1, answer))

    run(main())


def test_what_a_process_was_asked_back_and_returns_goes_to_the_host(
    run: Callable, at_work: Callable
) -> None:
    source = """
    function execute_code()
      if global_data == "x" then return true end
      print("busy")
      local ends = os.clock() + 0.1
      while os.clock() < ends do end
    end
    """

    async def main() -> None:
        async with at_work(source) as (n, host):
            first = await n.measure_short_tasks(host)
            host.submit(1, {first: "long", first + 1: "x", first + 2: "x"})
            await host.printed(b"busy")
            seat = n.launcher._crew._seats[1]
            assert len(seat.held()) == 3, "all of them are in hand"
            seat.ask_back(seat.process.running())
            (answer,) = await host.hear(TasksReturned)
            assert [ref.index for ref in answer.tasks] == [first + 1, first + 2]
            assert (await host.results(first + 1))[first] == ("OK", None)
            host.submit(1, {first + 1: "x", first + 2: "x"})
            assert len(await host.results(first + 3)) == first + 3
            assert host.heard(WorkerDown) == []

    run(main())


def test_tasks_for_a_process_that_is_gone_are_not_given_to_the_next(
    run: Callable, at_work: Callable
) -> None:
    """The host learns that it is gone, and gives them to somebody else."""

    async def main() -> None:
        async with at_work(ECHO) as (n, host):
            n.worker().kill()
            await host.hear(WorkerUp, 2)
            host.submit(1, {0: "late"}, epoch=0)
            host.submit(1, {1: "new"}, epoch=1)
            assert await host.results(1) == {1: ("OK", "new")}
            host.say(RecallTasks(5), channel=1)
            (returned,) = await host.hear(TasksReturned)
            assert returned.tasks == []

    run(main())


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_worker_that_is_killed_blames_nothing_and_is_replaced(
    run: Callable, at_work: Callable, is_paused: bool
) -> None:
    endless = "function execute_code() print('at ' .. midas.index) while true do end end"

    async def main() -> None:
        async with at_work(endless) as (n, host):
            host.submit(1, {0: None, 1: None})
            await host.printed(b"at 0")
            if is_paused:
                host.say(PauseWorker(is_paused=True), channel=1)
                await host.hear(TasksReturned)
            host.say(KillWorker(0, "killed by ann"), channel=1)
            (down,) = await host.hear(WorkerDown)
            assert (down.epoch, down.running) == (0, None)
            assert down.cause == "killed by SIGKILL: killed by ann"
            assert [up.epoch for up in await host.hear(WorkerUp, 2)] == [0, 1]
            host.say(KillWorker(0, "killed by bob"), channel=1)  # a moment too late
            host.submit(1, {2: None})
            await host.printed(b"at 2")
            assert len(host.heard(WorkerDown)) == 1
            assert n.announced[-1] == "worker laptop-000 was killed by ann"

    run(main())


def test_a_task_over_its_time_is_killed_and_its_batch_mates_given_back(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(BY_NAME, timeout_s=0.2)
            host.submit(1, {0: ["echo", "before"], 1: ["loop"], 2: ["echo", "after"]})
            (down,) = await host.hear(WorkerDown)
            assert host.outcomes()[0] == ("OK", "before")
            status, failure = host.outcomes()[1]
            assert status == "FAILED"
            assert failure["kind"] == "timeout"
            assert failure["message"].startswith("timeout of 0.2 s reached, killed; peak memory ")
            assert int(failure["message"].split()[-2]) > 1
            assert set(host.outcomes()) == {0, 1}, "its mate is not judged"
            assert down.running is None, "what it was killed for has been said"
            assert down.peak_bytes > MB
            ups = await host.hear(WorkerUp, 2)
            assert ups[1].epoch == 1
            host.submit(1, {2: ["echo", "after"]})
            assert (await host.results(3))[2] == ("OK", "after")

    run(main())


def test_a_deadline_is_of_each_call_and_not_of_the_batch(run: Callable, node: Callable) -> None:
    source = """
    function execute_code()
      local ends = os.clock() + global_data
      while os.clock() < ends do end
      return true
    end
    """

    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(source, timeout_s=20)
            host.submit(1, dict.fromkeys(range(30), 0.01))
            assert len(await host.results(30)) == 30
            assert host.heard(WorkerDown) == []

    run(main())


def test_a_bound_that_comes_later_holds_for_what_runs_and_for_nobody_else(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node(workers=2) as n:
            host = n.meet()
            await host.welcome()
            host.begin(BY_NAME, job="other")
            host.submit(2, {7: ["loop"]}, job="other")
            host.begin(BY_NAME, timeout_factor=5)
            host.submit(1, {0: ["loop"]})
            await host.until(lambda: host.printed_lines() == [b"looping"] * 2)
            host.say(LimitTasks("job", 0, 0.2))
            (down,) = await host.hear(WorkerDown)
            assert down.channel == 1
            _, failure = host.outcomes()[0]
            assert failure["message"].startswith("timeout of 0.2 s (5x the median task) reached")

    run(main())


def test_tasks_that_end_about_their_deadline_are_decided_once_each(
    run: Callable, node: Callable
) -> None:
    """A process is stopped before it is judged, and goes on if its task was done by then."""
    source = """
    function execute_code()
      local ends = os.clock() + global_data
      while os.clock() < ends do end
      return true
    end
    """

    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(source, timeout_s=0.06)
            seconds = {index: 0.04 + 0.004 * index for index in range(20)} | {20: 30}
            while left := {i: s for i, s in seconds.items() if i not in host.outcomes()}:
                lives = len(host.heard(WorkerUp))
                host.submit(1, left)
                await host.until(
                    lambda n=lives: (
                        len(host.heard(WorkerUp)) > n or host.outcomes().keys() == seconds.keys()
                    )
                )
            kinds = {
                "OK" if status == "OK" else failure["kind"]
                for status, failure in host.outcomes().values()
            }
            assert kinds <= {"OK", "timeout"}
            assert host.outcomes()[20][0] == "FAILED"

    run(main())


# -- deaths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_from_outside_names_the_task_that_ran(
    signum: signal.Signals, run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {5: ["echo", 1], 6: ["loop"], 7: ["echo", 2]})
            await host.printed(b"looping")
            n.worker().send_signal(signum)
            (down,) = await host.hear(WorkerDown)
            assert down.running == TaskRef("job", 0, 6)
            assert down.cause == f"killed by {signum.name}"
            assert host.outcomes() == {5: ("OK", 1)}, "what was sent before counts"

    run(main())


def test_the_death_of_an_idle_worker_blames_nobody(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(ECHO) as (n, host):
            host.submit(1, {0: 1})
            await host.results(1)
            n.worker().kill()
            (down,) = await host.hear(WorkerDown)
            assert down.running is None

    run(main())


def test_a_process_that_breaks_before_its_task_names_the_next(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(ECHO, timeout_s=1e10)  # over what a worker takes
            host.submit(1, {4: 1, 5: 1})
            (down,) = await host.hear(WorkerDown)
            assert down.running == TaskRef("job", 0, 4)
            assert down.cause.startswith("exit code 70")

    run(main())


def test_a_process_with_a_full_state_is_replaced_and_blames_nobody(
    run: Callable, at_work: Callable
) -> None:
    source = """
    function execute_code()
      if not global_data then return true end
      local t = {}
      while true do t[#t + 1] = ("x"):rep(100000) .. #t end
    end
    """

    async def main() -> None:
        async with at_work(source, memory_bytes=64 * MB) as (_, host):
            host.submit(1, {0: False, 1: True, 2: False})
            (down,) = await host.hear(WorkerDown)
            outcomes = host.outcomes()
            assert outcomes[0] == ("OK", True)
            assert outcomes[1][0] == "FAILED"
            assert outcomes[1][1]["kind"] == "memory"
            assert 2 not in outcomes
            assert down.running is None

    run(main())


def test_workers_that_are_confined_less_than_the_owner_wants_are_none(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node(sandbox_level_max=0, sandbox_level_min=1) as n:
            host = n.meet()
            await host.hear(Hello)
            host.say(Welcome(PROTOCOL_VERSION, "0", "laptop", 0))
            with pytest.raises(ProcessLost, match="a worker here reaches only sandbox level"):
                await n.launcher.failed
            assert host.heard(WorkerUp) == []

    run(main())


def test_workers_that_cannot_start_end_in_a_sentence(
    run: Callable, node: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SLACK_BYTES", 0)

    async def main() -> None:
        async with node(workers=2, memory_bytes=1) as n:
            host = n.meet()
            await host.hear(Hello)
            host.say(Welcome(PROTOCOL_VERSION, "0", "laptop", 0))
            with pytest.raises(ProcessLost, match="workers cannot start here: "):
                await n.launcher.failed
            started = n.zygote._last_id
            assert EARLY_DEATHS_MAX <= started <= EARLY_DEATHS_MAX + 2, "no fork loop"

    run(main())


# -- processes that break the rules --------------------------------------------------------------


def test_garbage_from_a_worker_costs_that_worker_only(run: Callable, at_work: Callable) -> None:
    """A script that broke out of Lua can write what it likes into its descriptors."""

    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            offences = (
                *(_into_its_pipe, _into_its_socket, _with_an_answer_to_nothing),
                *(_with_a_result_in_nobodys_memory, _with_memory_released_that_was_never_shown),
                _with_the_answer_of_a_script_process,
            )
            for epoch, write in enumerate(offences):
                host.submit(1, {epoch: ["loop"]})
                await host.until(lambda e=epoch: len(host.heard(TaskPrinted)) > e)
                write(n.worker().pid)
                downs = await host.hear(WorkerDown, epoch + 1)
                assert downs[epoch].running == TaskRef("job", 0, epoch)
                await host.hear(WorkerUp, epoch + 2)
            host.submit(1, {9: ["echo", "fine"]})
            assert await host.results(1) == {9: ("OK", "fine")}

    run(main())


def _into_its_pipe(pid: int) -> None:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        if fd.readlink().name.startswith("pipe:"):
            fd.write_bytes(b"what is this?\n" * 100)


def _into_its_socket(pid: int) -> None:
    with contextlib.closing(stolen_socket(pid)) as sock:
        sock.sendall(b"\xff" * 64)


def _with_an_answer_to_nothing(pid: int) -> None:
    outcome = Outcome(77, 0, Status.OK, 1)
    frame = Frame(0, TaskResults("job", 0, "laptop-000", [outcome]), [b"\xc0"])
    with contextlib.closing(stolen_socket(pid)) as sock:
        sock.sendall(b"".join(encode_all([frame])))


def _with_the_answer_of_a_script_process(pid: int) -> None:
    with contextlib.closing(stolen_socket(pid)) as sock:
        sock.sendall(b"".join(encode_all([Frame(0, ResultsStored("job", 0, []))])))


def _with_a_result_in_nobodys_memory(pid: int) -> None:
    outcome = Outcome(3, 0, Status.OK, 1)
    header = head(0, TaskResults("job", 0, "laptop-000", [outcome]), [BlobRef(1, 0, 2**20)])
    with contextlib.closing(stolen_socket(pid)) as sock:
        sock.sendall(header)


def _with_memory_released_that_was_never_shown(pid: int) -> None:
    with contextlib.closing(stolen_socket(pid)) as sock:
        sock.sendall(head(0, ReleaseBlobs([BlobRef(1, 0, 2**20)]), []))


def stolen_socket(pid: int) -> socket.socket:
    """The socket by which another process speaks, by pidfd_getfd(2)."""
    pidfd = os.pidfd_open(pid)
    try:
        for number in Path(f"/proc/{pid}/fd").iterdir():
            if number.readlink().name.startswith("socket:"):
                fd = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, int(number.name), 0)
                assert fd >= 0, os.strerror(ctypes.get_errno())
                sock = socket.socket(fileno=fd)
                if sock.type == socket.SOCK_STREAM:
                    return sock
                sock.close()
    finally:
        os.close(pidfd)
    raise AssertionError(pid)
