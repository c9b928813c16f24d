"""Lua processes as their parent's loop sees them; no launcher, no script process."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgpack
import psutil
import pytest

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.blobs.mapping import locate
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.output import Printed
from midas_mp.participant import process as process_module
from midas_mp.participant import supervisor as supervisor_module
from midas_mp.participant.child import ChildExit
from midas_mp.participant.process import LuaProcess, ProcessEnd
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import WORKER_BROKEN
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import BeginJob, Call, JobSpec, PutBundle, RunTasks, TaskResults
from tests.participant.listener import LOOP, SPEC, Listener, call, open_descriptors

# -- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_tells_what_ran(signum: signal.Signals, run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        seen = await listener.ready()
        call(process, LOOP, count=2)
        await listener.printed()
        seen.send_signal(signum)
        end = await listener.ended()
        assert (end.exit.signal, end.exit.exit_code) == (signum, None)
        assert (end.running.serial, end.running.index) == (1, 0)
        assert end.overdue is None
        assert end.cause == f"killed by {signum.name}"
        supervisor.close()

    run(main())


def test_a_kill_on_purpose_blames_nobody(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        call(process, LOOP)
        await listener.printed()
        assert process.running().index == 0
        process.kill()
        process.kill()
        end = await listener.ended()
        assert process.killed_on_purpose
        assert end.running is None
        supervisor.close()

    run(main())


def test_results_that_were_sent_come_before_the_end(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        for _ in range(10):
            listener = Listener()
            process = supervisor.start(SPEC, listener)
            seen = await listener.ready()
            call(process, b"function execute_code() print(1) return {} end", count=300)
            await listener.printed()
            seen.kill()
            end = await listener.ended()
            outcomes = [o for m in listener.messages(TaskResults) for o in m.outcomes]
            assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
            printed = sum(isinstance(thing, Printed) for thing in listener.told)
            assert printed >= len(outcomes)
            if end.running is not None:
                assert end.running.index >= len(outcomes)
        supervisor.close()

    run(main())


def test_a_bug_of_ours_leaves_its_last_line(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        process.send(
            [Frame(0, RunTasks("unknown", 0, 1, "0" * 64, "execute_code", [Call(0, 0, 0)]))]
        )
        end = await listener.ended()
        assert end.exit.exit_code == WORKER_BROKEN
        assert end.cause.startswith("exit code 70: ")
        assert end.cause.endswith("job unknown is not open here")
        assert "Traceback" in end.last_words
        supervisor.close()

    run(main())


def test_what_is_said_to_a_dead_process_is_lost_in_silence(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        (await listener.ready()).kill()
        await listener.ended()
        call(process, LOOP)
        process.kill()
        process.limit(0.001)
        assert process.has_exited
        supervisor.close()

    run(main())


# -- deadline ------------------------------------------------------------------------------------


def test_a_call_over_its_time_is_named(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        process.limit(0.1)
        call(process, b"function execute_code() while midas.index > 0 do end end", count=3)
        end = await listener.ended()
        assert (end.overdue.serial, end.overdue.index) == (2, 1)
        assert end.running is None
        assert [o.index for m in listener.messages(TaskResults) for o in m.outcomes] in ([], [0])
        supervisor.close()

    run(main())


def test_a_limit_can_be_lifted(run: Callable, eventually: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        process, other = supervisor.start(SPEC, Listener()), Listener()
        await process._listener.ready()
        call(process, LOOP)
        process.limit(0.3)
        process.limit(0)
        limited = supervisor.start(SPEC, other)
        await other.ready()
        limited.limit(0.3)
        call(limited, LOOP)
        assert (await other.ended()).overdue is not None, "which began later"
        assert not process.has_exited
        assert process.running() is not None
        supervisor.close()

    run(main())


def test_a_paused_process_has_no_deadline_until_it_goes_on(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        mine, others = Listener(), Listener()
        paused, limited = supervisor.start(SPEC, mine), supervisor.start(SPEC, others)
        await mine.ready()
        await others.ready()
        call(paused, LOOP)
        await mine.printed()
        paused.pause()
        for process in (paused, limited):
            process.limit(0.3)
        call(limited, LOOP)
        assert (await others.ended()).overdue is not None, "which began later"
        assert not paused.has_exited
        running = paused.running()
        assert running is not None
        paused.stop_call(running)
        assert (await mine.ended()).running is None, "it can be stopped all the same"
        supervisor.close()

    run(main())


def test_who_is_stopped_for_nothing_while_it_is_paused_stays_paused(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        process_itself = await listener.ready()
        call(process, LOOP)
        await listener.printed()
        running = process.running()
        assert running is not None
        process.pause()
        process.stop_call(dataclasses.replace(running, serial=running.serial + 1))
        await asyncio.sleep(2 * process_module.STOP_SETTLE_S)  # until it is judged
        assert process_itself.status() == psutil.STATUS_STOPPED
        process.limit(0.05)
        process.resume()
        assert (await listener.ended()).overdue is not None
        supervisor.close()

    run(main())


def test_an_idle_process_has_no_deadline(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        idle, busy = Listener(), Listener()
        supervisor.start(SPEC, idle).limit(0.05)
        process = supervisor.start(SPEC, busy)
        await idle.ready()
        await busy.ready()
        process.limit(0.2)
        call(process, LOOP)
        await busy.ended()
        assert idle.ends == []
        supervisor.close()

    run(main())


# -- shared memory -------------------------------------------------------------------------------

LENGTHS = b"""
function execute_code()
  if global_data.ends then print("looping") while true do end end
  return { #global_data.text, global_data.text:sub(-3) }
end
"""
LARGE = "x" * limits.BLOB_BYTES_MIN + "end"


def submit(process: LuaProcess, *payloads: object, job: str = "job") -> None:
    digest = Bundle.from_sources("job.lua", [], [LENGTHS]).digest
    calls = [Call(index) for index in range(len(payloads))]
    order = RunTasks(job, 0, len(calls), digest, "execute_code", calls)
    process.send([Frame(0, order, [msgpack.packb(payload) for payload in payloads])])


def begin(process: LuaProcess) -> None:
    digest = Bundle.from_sources("job.lua", [], [LENGTHS]).digest
    bundle = PutBundle("job", digest, "job.lua", [])
    process.send([Frame(0, BeginJob("job", JobSpec())), Frame(0, bundle, [LENGTHS])])


def lent_bytes() -> int:
    shared = pool.allocate(0)  # so that there is a pool
    used = pool._of_this_process.get().used_bytes
    del shared
    return used


@pytest.mark.parametrize("level", range(4))
def test_large_payloads_are_read_in_shared_memory_at_every_level(level: int, run: Callable) -> None:
    async def main() -> None:
        before = lent_bytes()
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(dataclasses.replace(SPEC, sandbox_level_max=level), listener)
        await listener.ready()
        begin(process)
        for round_ in range(3):
            submit(process, *[{"text": LARGE}] * 4)
            assert lent_bytes() >= before + 4 * len(LARGE)
            await listener.until(lambda n=round_: len(listener.messages(TaskResults)) > n)
            await listener.until(lambda: lent_bytes() == before)
        results = [frame.buffers for frame in listener.told if isinstance(frame, Frame)][1:]
        values = [msgpack.unpackb(buffer) for buffers in results for buffer in buffers]
        assert values == [[len(LARGE), "end"]] * 12
        supervisor.close()

    run(main())


def test_a_process_that_is_killed_in_the_middle_leaves_nothing(run: Callable) -> None:
    async def main() -> None:
        before = lent_bytes()
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        descriptors: list[str] = []
        for round_ in range(3):
            listener = Listener()
            process = supervisor.start(SPEC, listener)
            seen = await listener.ready()
            begin(process)
            submit(process, {"text": LARGE, "ends": True}, {"text": LARGE})
            await listener.printed()
            assert lent_bytes() > before
            seen.kill()
            await listener.ended()
            assert lent_bytes() == before
            if round_ == 0:
                descriptors = open_descriptors()
        assert open_descriptors() == descriptors
        supervisor.close()

    run(main())


def test_what_finds_no_room_in_shared_memory_goes_as_bytes(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", 4 * limits.BLOB_BYTES_MIN)
    monkeypatch.setattr(pool, "_of_this_process", pool._OfThisProcess())

    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        begin(process)
        submit(process, *[{"text": LARGE}] * 10)
        assert len(process.child.blobs._held) == 3, "each is a little larger than that"
        await listener.until(lambda: len(listener.buffers()) == 10)
        values = [msgpack.unpackb(buffer) for buffer in listener.buffers()]
        assert values == [[len(LARGE), "end"]] * 10
        supervisor.close()

    run(main())


def test_a_reader_who_keeps_all_gets_the_rest_as_bytes(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        spec = dataclasses.replace(SPEC, memory_bytes=16 * limits.MB)
        process = supervisor.start(spec, listener)
        await listener.ready()
        call(process, ARRAY, count=25)

        await listener.until(lambda: len(listener.buffers()) == 2 * 25)
        arrays = listener.buffers()[1::2]
        assert {array.cast("d")[99_999] for array in map(memoryview, arrays)} == {100_000}
        assert [locate(array) is not None for array in arrays] == [True] * 19 + [False] * 6
        supervisor.close()

    run(main())


def test_without_shared_memory_all_goes_as_bytes(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "not on this machine")

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(pool, "_of_this_process", pool._OfThisProcess())
    monkeypatch.setattr(pool, "_warned", {"not on this machine"})

    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        assert process.child.blobs is None
        begin(process)
        submit(process, {"text": LARGE})
        await listener.until(lambda: listener.messages(TaskResults))
        (result,) = listener.told[-1].buffers
        assert msgpack.unpackb(result) == [len(LARGE), "end"]
        supervisor.close()

    run(main())


ARRAY = b"""
local ends
function execute_code()
  if global_data then return #global_data.a end
  local a = midas.array("float64", 100000)
  for i = 1, #a do a[i] = i end
  return { a = a }
end
"""


def test_results_stay_where_the_process_made_them(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listeners = [Listener(), Listener()]
        maker, reader = (supervisor.start(SPEC, listener) for listener in listeners)
        for listener in listeners:
            await listener.ready()
        call(maker, ARRAY)
        await listeners[0].until(lambda: listeners[0].messages(TaskResults))
        packed, array = listeners[0].told.pop().buffers
        assert array.cast("d")[99_999] == 100_000
        assert locate(array) is not None
        maker.kill()
        await listeners[0].ended()
        assert array.cast("d")[0] == 1, "it outlives its maker"
        call(reader, ARRAY, count=0)
        digest = Bundle.from_sources("job.lua", [], [ARRAY]).digest
        order = RunTasks("job", 0, 1, digest, "execute_code", [Call(0, 0, 2)])
        reader.send([Frame(0, order, [packed, array])])
        await listeners[1].until(lambda: listeners[1].messages(TaskResults))
        assert msgpack.unpackb(listeners[1].told[-1].buffers[0]) == 100_000
        supervisor.close()

    run(main())


def test_what_a_process_wrote_is_given_back_when_nobody_reads_it_and_it_lies_idle(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "TRIM_INTERVAL_S", 0.01)

    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        call(process, ARRAY)
        await listener.until(lambda: listener.messages(TaskResults))
        file, _ = locate(listener.told[-1].buffers[1])
        assert file.touched_bytes >= 800_000
        listener.told.clear()
        while file.touched_bytes:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        supervisor.close()

    run(main())


def test_a_lost_zygote_leaves_no_shared_memory(run: Callable) -> None:
    async def main() -> None:
        before = lent_bytes()
        lost = asyncio.Event()
        zygote = Zygote.start()
        supervisor = Supervisor(zygote, zygote_lost=lambda _: lost.set())
        listener = Listener()
        process = supervisor.start(SPEC, listener)
        await listener.ready()
        begin(process)
        submit(process, {"text": LARGE, "ends": True})
        await listener.printed()
        assert lent_bytes() > before
        os.kill(zygote.pid, signal.SIGKILL)
        await lost.wait()
        await listener.ended()
        assert lent_bytes() == before
        supervisor.close()

    run(main())


OWNER = """
import asyncio, sys
from tests.participant.listener import SPEC, Listener
from tests.participant.test_process import LARGE, begin, submit
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote

async def main():
    supervisor = Supervisor(Zygote.start(), zygote_lost=print)
    listener = Listener()
    process = supervisor.start(SPEC, listener)
    seen = await listener.ready()
    begin(process)
    submit(process, {"text": LARGE, "ends": True})
    await listener.printed()
    print(supervisor._zygote.pid, seen.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_parent_that_is_killed_leaves_no_process_that_has_its_memory() -> None:
    command = [sys.executable, "-c", OWNER]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as owner:
        pids = [owner.pid, *map(int, owner.stdout.readline().split())]
        inodes = {inode for pid in pids for inode in shared_files(pid)}
        assert len(inodes) == 2, "the pool, and what the process writes"
        processes = [psutil.Process(pid) for pid in pids[1:]]
        owner.kill()
        assert psutil.wait_procs(processes, timeout=20)[1] == []
    left = {inode for pid in psutil.pids() for inode in shared_files(pid)}
    assert left.isdisjoint(inodes)


def shared_files(pid: int) -> set[str]:
    """The pools that a process has mapped, by inode."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {
        line.split()[4]
        for line in lines
        if "memfd:midas-pool" in line or "memfd:midas-outbound" in line
    }


def test_the_last_lines_are_as_many_as_a_person_reads() -> None:
    def last_lines(words: str) -> str:
        return ProcessEnd(ChildExit("w", 1, 1, None, 0), None, None, words).last_lines

    assert last_lines("") == ""
    assert last_lines("\none\n two \n") == "one\n two"
    assert last_lines("\n".join(map(str, range(30)))) == "\n".join(map(str, range(20, 30)))
    assert last_lines("x" * 4_000) == "x" * 2_000
