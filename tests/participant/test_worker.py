"""A real, confined Lua process, spoken to as its parent would."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import psutil
import pytest

from midas_mp.lua.bundle import Bundle
from midas_mp.lua.engines import ENGINES
from midas_mp.lua.output import OutputParser
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import WORKER_SPOILED
from midas_mp.permissions import Permissions
from midas_mp.wire.framing import Frame, payloads
from midas_mp.wire.local import LoadScript, ResultsStored, ScriptLoaded, SharedData, StoreResults
from midas_mp.wire.messages import (
    RETURNED,
    BeginJob,
    Call,
    CallForm,
    DropBundles,
    EndJob,
    Failure,
    Hello,
    JobSpec,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskResults,
)

MB = 2**20
DROPPED = re.compile(rb"\.\.\. (\d+) lines \(")
PATIENCE_S = 20.0


class Job:
    """One job at one Lua process."""

    def __init__(self, peer, source: str, name: str = "j1", **spec: object) -> None:
        self.peer = peer
        self.name = name
        sources = [source.encode()]
        self.digest = Bundle.from_sources("job.lua", [], sources).digest
        if not peer.exits and peer.child.page.read() is None:
            peer.send(BeginJob(name, JobSpec(**spec)))
            peer.send(PutBundle(name, self.digest, "job.lua", []), sources)

    def submit(self, *values: object, entry: str = "execute_code", round_: int = 0) -> None:
        calls = [Call(index) for index in range(len(values))]
        payloads = [msgpack.packb(value) for value in values]
        message = RunTasks(self.name, round_, len(calls), self.digest, entry, calls)
        self.peer.send(message, payloads)

    def submit_plain(self, entry: str, *indices: int) -> None:
        calls = [Call(index, 0, 0) for index in indices]
        self.peer.send(RunTasks(self.name, 0, 3, self.digest, entry, calls))

    def results(self) -> list[tuple[Outcome, object]]:
        """Of the next frame; a failure is its Failure."""
        frame = self.peer.receive()
        assert isinstance(frame.message, TaskResults), frame.message
        assert (frame.message.job, frame.message.worker) == (self.name, "laptop-000")
        return [
            (
                outcome,
                msgpack.unpackb(buffer)
                if outcome.status is Status.OK
                else Failure.from_payload(bytes(buffer)),
            )
            for outcome, buffer in zip(frame.message.outcomes, frame.buffers, strict=True)
        ]

    def run(self, *values: object, entry: str = "execute_code") -> list[object]:
        self.submit(*values, entry=entry)
        return self.collect(len(values))

    def collect(self, count: int) -> list[object]:
        found: list[object] = []
        while len(found) < count:
            found += [value for _, value in self.results()]
        return found


@pytest.fixture
def ready(spawn: Callable) -> Callable:
    """A process that has said it is ready."""

    def start(**overrides: object):
        peer = spawn(**overrides)
        peer.receive()
        return peer

    return start


def test_a_batch_is_answered_in_one_frame_with_what_it_took(ready: Callable) -> None:
    job = Job(ready(), "function execute_code() return {global_data[1] * 2, midas.index} end")
    job.submit([5], [6], [7])
    results = job.results()
    assert [value for _, value in results] == [[10, 0], [12, 1], [14, 2]]
    assert [outcome.index for outcome, _ in results] == [0, 1, 2]
    assert all(outcome.duration_us < 1_000_000 for outcome, _ in results)


def test_a_long_task_does_not_hold_back_what_was_finished(ready: Callable) -> None:
    source = """function execute_code()
        local stop = os.clock() + global_data[1]
        repeat until os.clock() >= stop
        return global_data[1]
    end"""
    job = Job(ready(), source)
    job.submit([0.03], [0.001], [30])
    assert [value for _, value in job.results()] == [0.03]
    # among long tasks a short one is sent before the next begins
    assert [value for _, value in job.results()] == [0.001]
    assert job.peer.is_silent()


def test_large_results_do_not_wait_for_each_other(ready: Callable) -> None:
    job = Job(ready(), "function execute_code() return ('x'):rep(global_data[1]) end")
    job.submit([700_000], [700_000], [3_000_000], [10])
    sizes = []
    while sum(map(len, sizes)) < 4:
        sizes.append([len(value) for _, value in job.results()])
    assert sorted(size for frame in sizes for size in frame) == [10, 700_000, 700_000, 3_000_000]
    assert all(sum(frame) <= MB or len(frame) == 1 for frame in sizes)


def test_a_failure_costs_one_task(ready: Callable) -> None:
    job = Job(ready(), "function execute_code()\n return 1 + global_data[1] end")
    good, bad, last = job.run([1], [{}], [3])
    assert (good, last) == (2, 4)
    assert isinstance(bad, Failure)
    assert bad.kind == "runtime"
    assert bad.message.startswith("job.lua:2: attempt to perform arithmetic")


def test_a_script_that_does_not_compile_fails_each_of_its_tasks(ready: Callable) -> None:
    job = Job(ready(), "function execute_code(")
    for failure in job.run(1, 2):
        assert isinstance(failure, Failure)
        assert failure.kind == "syntax"
        assert failure.message.startswith("job.lua:1:")


def test_the_page_says_what_runs_and_keeps_it(ready: Callable) -> None:
    peer = ready()
    job = Job(peer, "function execute_code() while global_data == 2 do end return 0 end")
    job.run(0, 1)
    job.submit(1, 2, round_=4)
    while (running := peer.child.page.read()) is None or running.index != 1:
        select.select([], [], [], 0.001)
    assert (running.serial, running.round, running.index) == (4, 4, 1)
    peer.zygote.signal(peer.child, signal.SIGKILL)
    assert peer.wait_exit().signal == signal.SIGKILL
    assert peer.child.page.read() == running


def test_a_memory_error_is_one_outcome_and_the_end_of_the_process(ready: Callable) -> None:
    source = "function execute_code() local t = {} while true do t[#t+1] = ('x'):rep(#t) end end"
    peer = ready(memory_bytes=64 * MB, memory_hard_bytes=1024 * MB)
    job = Job(peer, source)
    job.submit(1, 2)
    [(outcome, failure)] = job.results()
    assert outcome.index == 0
    assert isinstance(failure, Failure)
    assert failure.kind == "memory"
    assert "64 MB" in failure.message
    assert peer.wait_exit().exit_code == WORKER_SPOILED
    assert peer.child.page.read() is None


def test_the_jobs_own_limit_wins_over_the_nodes(ready: Callable) -> None:
    source = "function execute_code() return #('x'):rep(global_data * 2^20) end"
    peer = ready(memory_bytes=16 * MB)
    job = Job(peer, source, memory_bytes=128 * MB)
    assert job.run(50) == [50 * MB]
    data, _ = psutil.Process(os.getpid()).rlimit(psutil.RLIMIT_DATA)
    soft, _ = psutil.Process(job_pid(peer)).rlimit(psutil.RLIMIT_DATA)
    assert soft == (128 + 256) * MB != data


def job_pid(peer) -> int:
    (child,) = psutil.Process(peer.zygote.pid).children()
    return child.pid


def test_a_payload_over_the_limit_fails_its_task_and_no_other(ready: Callable) -> None:
    peer = ready(memory_hard_bytes=160 * MB)
    job = Job(peer, "function execute_code() return #global_data end")
    job.submit("x" * (200 * MB), "y")
    (big, failure), (small, length) = job.results()
    assert (big.status, small.status, length) == (Status.FAILED, Status.OK, 1)
    assert isinstance(failure, Failure)
    assert failure.kind == "memory"
    assert job.run("abc") == [3]


def test_prints_are_in_the_pipe_before_the_result(ready: Callable) -> None:
    peer = ready()
    job = Job(peer, "function execute_code() print('hello', midas.index) return 1 end")
    job.submit(1, 2)
    total = 0
    while total < 2:
        message = peer.receive().message
        total += len(message.outcomes)
    data = os.read(peer.child.output_fd, 65_536)
    assert len(data) == message.output_bytes
    assert [p.text.rstrip() for p in OutputParser().feed(data)] == [b"hello\t0", b"hello\t1"]
    # what a closed state printed still counts
    peer.send(EndJob("j1"))
    Job(peer, "function execute_code() print('x') return 1 end", "j2").submit(1)
    message = peer.receive().message
    data += os.read(peer.child.output_fd, 65_536)
    assert len(data) == message.output_bytes


@pytest.mark.parametrize("engine", ENGINES)
def test_what_short_tasks_printed_in_vain_is_told_before_the_last_result(
    ready: Callable, engine: str
) -> None:
    peer = ready()
    source = "function execute_code() for i = 1, 3000 do print(i) end return 1 end"
    job = Job(peer, source, engine=engine)
    parser = OutputParser()
    texts: list[bytes] = []
    received = printed = 0

    def receive_results() -> int:
        """How much was printed by then."""
        done = 0
        while done < 5:
            message = peer.receive().message
            done += len(message.outcomes)
        return message.output_bytes

    with ThreadPoolExecutor(1) as pool:
        for _ in range(10):
            job.submit(*range(5))
            printed += 5 * 3000
            results = pool.submit(receive_results)
            while not results.done() or received < results.result():
                if select.select([peer.child.output_fd], [], [], 0.01)[0]:
                    data = os.read(peer.child.output_fd, 2**20)
                    received += len(data)
                    texts.extend(record.text for record in parser.feed(data))
            kept = sum(text.isdigit() for text in texts)
            told = sum(int(note[1]) for note in map(DROPPED.match, texts) if note)
            assert kept + told == printed
    assert told


def test_jobs_have_states_of_their_own(ready: Callable) -> None:
    peer = ready()
    source = "count = (count or 0) + 1 function execute_code() count = count + 1 return count end"
    first = Job(peer, source, isolate=False)
    second = Job(peer, source, "j2", isolate=False)
    assert first.run(1, 1) == [2, 3]
    assert second.run(1) == [2]
    peer.send(EndJob("j1"))
    assert Job(peer, source, isolate=False).run(1) == [2]
    assert second.run(1) == [3]


def test_a_dropped_bundle_is_forgotten_and_may_come_again(ready: Callable) -> None:
    peer = ready()
    source = "function execute_code() n = (n or 0) + 1 return n end"
    job = Job(peer, source, isolate=False)
    assert [job.run(None), job.run(None)] == [[1], [2]]
    peer.send(DropBundles(job.name, [job.digest, "0" * 64]))
    peer.send(PutBundle(job.name, job.digest, "job.lua", []), [source.encode()])
    assert job.run(None) == [1]


def test_a_message_that_is_not_for_it_is_the_end(ready: Callable) -> None:
    peer = ready()
    peer.send(Hello(1, Role.CLIENT, "1", "a", "x"))
    assert peer.wait_exit().exit_code == 70
    assert "does not take Hello" in peer.child.page.last_words()


@pytest.mark.parametrize(
    ("modules", "told"),
    [([], "is not what its digest says"), (["../x"], "is not the name of a Lua module")],
)
def test_a_bundle_that_is_none_costs_its_own_tasks(
    modules: list[str], told: str, ready: Callable
) -> None:
    peer = ready()
    job = Job(peer, "function execute_code() return 1 end")
    digest = hashlib.sha256(b"other").hexdigest()
    sources = [b"function execute_code() end"] * (1 + len(modules))
    peer.send(PutBundle("j1", digest, "job.lua", modules), sources)
    good, job.digest = job.digest, digest
    (failure,) = job.run(1)
    assert told in failure.message
    job.digest = good
    assert job.run(1) == [1]


def test_an_end_in_the_middle_of_a_frame_is_no_bug(ready: Callable) -> None:
    peer = ready()
    peer.child.socket.sendall(b"\x10\0\0\0\0\0\0\0abc")
    peer.child.socket.close()
    assert peer.wait_exit().exit_code == 0


# -- shared data -------------------------------------------------------------------------------


def test_shared_data_is_there_for_the_tasks_of_its_round(ready: Callable) -> None:
    peer = ready()
    job = Job(peer, "function execute_code() return shared_data and shared_data.x or 'none' end")
    assert job.run(1) == ["none"]
    for round_, value in ((0, 5), (1, 6)):
        peer.send(SharedData("j1", round_), [msgpack.packb({"x": value})])
        job.submit(1, 2, round_=round_)
        assert job.collect(2) == [value, value]


def test_a_write_into_shared_data_fails_its_task_and_ends_the_process(ready: Callable) -> None:
    peer = ready()
    job = Job(peer, "function execute_code() shared_data.list[2] = midas.index return 1 end")
    peer.send(SharedData("j1", 0), [msgpack.packb({"list": [7, 8, 9]})])
    job.submit(1)
    [(outcome, failure)] = job.results()
    assert outcome.status is Status.FAILED
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message.partition(":")[0]) == (
        "runtime",
        "this task wrote into shared_data.list",
    )
    assert peer.wait_exit().exit_code == WORKER_SPOILED


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("work_s", [0, 0.012])
def test_what_was_sent_rests_on_data_that_nobody_had_changed(
    ready: Callable, engine: str, work_s: float
) -> None:
    source = f"""function execute_code()
        if midas.index == 5 then shared_data[1990] = -1 end
        local stop = os.clock() + {work_s}
        repeat until os.clock() >= stop
        return shared_data[1990]
    end"""
    peer = ready()
    job = Job(peer, source, engine=engine)
    peer.send(SharedData("j1", 0), [msgpack.packb(list(range(1, 2_001)))])
    job.submit(*range(20))
    good: list[object] = []
    bad: list[object] = []
    while not bad:
        for outcome, value in job.results():
            (good if outcome.status is Status.OK else bad).append(value)
    assert good == [1990] * len(good)
    if work_s:
        assert len(good) == 5
    assert all("wrote into shared_data: all tasks" in failure.message for failure in bad)
    assert peer.wait_exit().exit_code == WORKER_SPOILED


def test_a_large_result_does_not_slip_out_before_the_write_is_found(ready: Callable) -> None:
    source = """function execute_code()
        if midas.index == 1 then shared_data[1] = 0 end
        return ('x'):rep(700000)
    end"""
    peer = ready()
    job = Job(peer, source)
    peer.send(SharedData("j1", 0), [msgpack.packb([1, 2, 3])])
    job.submit(1, 2, 3)
    outcomes: list[Outcome] = []
    while 1 not in [each.index for each in outcomes]:
        outcomes += [outcome for outcome, _ in job.results()]
    assert {each.index for each in outcomes if each.status is Status.OK} <= {0}
    assert peer.wait_exit().exit_code == WORKER_SPOILED


def test_shared_data_over_the_limit_fails_the_tasks_one_by_one(ready: Callable) -> None:
    peer = ready(memory_bytes=16 * MB)
    job = Job(peer, "function execute_code() return 1 end")
    peer.send(SharedData("j1", 0), [msgpack.packb([0.5] * 4_000_000)])
    job.submit(1, 2)
    [(outcome, failure)] = job.results()
    assert (outcome.index, failure.kind) == (0, "memory")
    assert peer.wait_exit().exit_code == WORKER_SPOILED


# -- engines -------------------------------------------------------------------------------------

PLAIN = [engine for engine in ENGINES if engine != "luajit"]


def test_a_worker_says_which_engines_it_has(spawn: Callable) -> None:
    assert spawn().receive().message.engines == list(ENGINES)


@pytest.mark.parametrize("engine", PLAIN)
def test_a_confined_worker_runs_jobs_of_several_engines(ready: Callable, engine: str) -> None:
    peer = ready()
    source = "function execute_code() print(_VERSION) return {_VERSION, math.random(2^31)} end"
    first = Job(peer, source)
    second = Job(peer, source, "j2", engine=engine)
    versions = [job.run(1)[0][0] for job in (first, second, first)]
    assert versions == ["Lua 5.1", engine.replace("lua", "Lua "), "Lua 5.1"]
    data = os.read(peer.child.output_fd, 65_536)
    assert [p.text.decode() for p in OutputParser().feed(data)] == versions


@pytest.mark.parametrize("engine", PLAIN)
def test_pausing_a_task_that_prints_into_a_full_pipe_loses_nothing(
    ready: Callable, engine: str
) -> None:
    peer = ready()
    job = Job(
        peer,
        "function execute_code() for i = 1, 3000 do print(i, ('x'):rep(i)) end return 1 end",
        engine=engine,
    )
    job.submit(1)
    process = psutil.Process(job_pid(peer))
    parser, texts = OutputParser(), []
    paused = 0
    while len(texts) < 3000:
        if paused < 20:
            select.select([peer.child.output_fd], [], [], PATIENCE_S)
            process.suspend()
            process.resume()
            paused += 1
        try:
            texts += [record.text for record in parser.feed(os.read(peer.child.output_fd, 4096))]
        except BlockingIOError:
            select.select([peer.child.output_fd], [], [], PATIENCE_S)
    message = peer.receive().message
    assert texts == [b"%d\t%s" % (i, b"x" * i) for i in range(1, 3001)]
    assert message.output_bytes == parser.bytes_consumed


@pytest.mark.parametrize("engine", PLAIN)
def test_a_memory_error_of_any_engine_is_one_outcome(ready: Callable, engine: str) -> None:
    source = "function execute_code() local t = {} while true do t[#t+1] = ('x'):rep(#t) end end"
    peer = ready(memory_bytes=64 * MB, memory_hard_bytes=1024 * MB)
    job = Job(peer, source, engine=engine)
    job.submit(1, 2)
    [(_, failure)] = job.results()
    assert failure.kind == "memory"
    assert peer.wait_exit().exit_code == WORKER_SPOILED


def test_a_function_is_called_with_arguments_or_for_each_item_of_a_batch(ready: Callable) -> None:
    peer = ready()
    job = Job(peer, "return function(x) if x == 3 then error('three') end return x + 1 end")

    def send(form: CallForm, *arguments: list[int]) -> list[Frame]:
        calls = [Call(index) for index in range(len(arguments))]
        order = RunTasks(job.name, 0, 0, job.digest, RETURNED, calls, form)
        peer.send(order, [msgpack.packb(each) for each in arguments])
        frames = [peer.receive()]
        while sum(len(frame.message.outcomes) for frame in frames) < len(arguments):
            frames.append(peer.receive())
        return frames

    frames = send(CallForm.ARGUMENTS, [1], [2])
    assert [msgpack.unpackb(b) for frame in frames for b in frame.buffers] == [2, 3]
    frames = send(CallForm.BATCH, [1, 0, 1, 2, 3, 4], [1, 4, 5, 6])
    found = [
        (outcome.status, payload)
        for frame in frames
        for outcome, payload in payloads(frame.message.outcomes, frame.buffers)
    ]
    (failed, (failure, partial)), (fine, (results,)) = found
    assert (failed, fine) == (Status.FAILED, Status.OK)
    reason = Failure.from_payload(bytes(failure))
    assert (reason.message, reason.item) == ("job.lua:1: three", 2)
    assert msgpack.unpackb(partial) == [2, 3]
    assert msgpack.unpackb(results) == [6, 7]


@pytest.mark.parametrize("engine", PLAIN)
def test_a_script_process_of_any_engine_reads_and_writes_where_it_may(
    ready: Callable, tmp_path: Path, engine: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    peer = ready(profile="driver", working_directory=str(here))
    source = """
    function generate_data(index)
        if index == 0 then
            local file = assert(io.open("out.txt", "w"))
            file:write("written"):close()
            for line in io.lines("out.txt") do return line end
        end
        return select(2, io.open("../out.txt", "w"))
    end"""
    job = Job(peer, source, engine=engine)
    peer.send(LoadScript(job.name, job.digest))
    peer.receive()
    job.submit_plain("generate_data", 0, 1)
    written, refused = job.collect(2)
    assert written == "written"
    assert "ermission denied" in refused


def test_an_engine_that_is_not_there_is_refused(ready: Callable) -> None:
    peer = ready()
    with contextlib.suppress(BrokenPipeError):  # it may be gone before it has heard all
        Job(peer, "function execute_code() end", engine="lua5.1")
    assert peer.wait_exit().exit_code == 70
    assert "there is no engine lua5.1 here" in peer.child.page.last_words()


# -- script process ----------------------------------------------------------------------------

DRIVER = """
config = { tasks = 3 }
function generate_data(index, count)
    if index == 1 then return io.open("/etc/hostname") and "read" end
    if index == 2 then return io.read("*l") or "no stdin" end
    return index + count
end
function interpret_results()
    if errors[3] then return "errors: " .. errors[3] end
    local file = assert(io.open(midas.dir .. "/out.txt", "w"))
    file:write("written") file:close()
    return results[1] + results[2]
end
"""


def start_script(peer, directory: Path) -> Job:
    job = Job(peer, DRIVER, directory=str(directory))
    peer.send(LoadScript("j1", job.digest))
    loaded = peer.receive()
    assert isinstance(loaded.message, ScriptLoaded)
    assert set(loaded.message.functions) == {"generate_data", "interpret_results"}
    assert msgpack.unpackb(loaded.buffers[0]) == {"tasks": 3}
    return job


def store(job: Job, *payloads: bytes, status: Status = Status.OK) -> ResultsStored:
    outcomes = [Outcome(index, 0, status, 1) for index in range(len(payloads))]
    job.peer.send(StoreResults("j1", 0, outcomes), list(payloads))
    frame = job.peer.receive()
    assert isinstance(frame.message, ResultsStored)
    return frame


def test_a_script_process_generates_stores_and_interprets(ready: Callable, tmp_path: Path) -> None:
    peer = ready(profile="driver", working_directory=str(tmp_path))
    job = start_script(peer, tmp_path)
    job.submit_plain("generate_data", 0, 1, 2)
    assert job.collect(3) == [3, "read", "no stdin"]
    stored = store(job, msgpack.packb(40), msgpack.packb(2))
    assert stored.message.indices == [0, 1]
    assert not stored.buffers
    job.submit_plain("interpret_results", 0)
    assert job.collect(1) == [42]
    assert (tmp_path / "out.txt").read_text() == "written"


def test_a_script_process_writes_nowhere_else(ready: Callable, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    job = start_script(ready(profile="driver", working_directory=str(here)), tmp_path)
    store(job, msgpack.packb(40), msgpack.packb(2))
    job.submit_plain("interpret_results", 0)
    (failure,) = job.collect(1)
    assert isinstance(failure, Failure)
    assert "ermission denied" in failure.message
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_script_process_does_not_reach_its_status_page(
    ready: Callable, tmp_path: Path, engine: str
) -> None:
    source = """
    function generate_data()
        local opened = {}
        for fd = 0, 20 do
            for _, mode in ipairs({ "r+", "r+b", "a", "a+", "w", "w+" }) do
                for _, folder in ipairs({ "/proc/self/fd/", "/dev/fd/" }) do
                    local file = io.open(folder .. fd, mode)
                    if file and file:seek("end") then opened[#opened + 1] = fd end
                    if file then file:close() end
                end
            end
        end
        -- nor when so many files are open that nothing can be looked up any more
        local hoard = {}
        for i = 1, 100 do
            local file = io.open("/proc/self/fd/2", i < 50 and "r" or "a")
            if i >= 50 and file then opened[#opened + 1] = "hoard" end
            hoard[i] = file
        end
        return opened
    end
    """
    peer = ready(profile="driver", working_directory=str(tmp_path))
    job = Job(peer, source, engine=engine)
    peer.send(LoadScript(job.name, job.digest))
    peer.receive()
    job.submit_plain("generate_data", 0)
    assert job.collect(1) == [[]]


def test_without_landlock_a_script_process_writes_nothing(ready: Callable, tmp_path: Path) -> None:
    peer = ready(profile="driver", working_directory=str(tmp_path), sandbox_level_max=1)
    job = start_script(peer, tmp_path)
    store(job, msgpack.packb(40), msgpack.packb(2))
    job.submit_plain("interpret_results", 0)
    (failure,) = job.collect(1)
    assert isinstance(failure, Failure)
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_without_machine_code_computes_all_the_same(ready: Callable, engine: str) -> None:
    source = """
    function execute_code()
      local sum = 0
      for i = 1, 1e5 do sum = sum + i % 7 end
      return { sum, jit and jit.on == nil or true }
    end
    """
    peer = ready(permissions=Permissions(jit=False))
    assert Job(peer, source, engine=engine).run(None) == [[300_000, True]]


def test_a_worker_that_was_granted_a_folder_reads_there_and_nowhere_else(
    ready: Callable, tmp_path: Path
) -> None:
    source = """
    function execute_code()
      local file = io.open(global_data[1])
      return { file and file:read("*a") or "refused", (select(2, io.open(global_data[2]))),
        (select(2, io.open(global_data[1], "a"))) }
    end
    """
    (tmp_path / "granted").mkdir()
    inside, outside = tmp_path / "granted" / "a.txt", tmp_path / "b.txt"
    inside.write_text("a")
    outside.write_text("b")
    peer = ready(permissions=Permissions(read=(str(tmp_path / "granted"),)))
    paths = [str(inside), str(outside)]
    assert Job(peer, source).run(paths) == [
        [
            "a",
            f"{outside}: Permission denied",
            f"{inside}: writing files is not permitted on this node",
        ]
    ]
    job = Job(peer, source, "j2", permissions=["jit"])
    (failure,) = job.run(paths)
    assert isinstance(failure, Failure)
    assert "reading files is not what this job asks for" in failure.message


def test_failed_tasks_become_errors(ready: Callable, tmp_path: Path) -> None:
    job = start_script(ready(profile="driver"), tmp_path)
    failure = Failure("lost", "its worker died three times").to_payload()
    store(job, failure, failure, failure, status=Status.FAILED)
    job.submit_plain("interpret_results", 0)
    assert job.collect(1) == ["errors: its worker died three times"]


def test_a_result_that_cannot_be_stored_is_named(ready: Callable, tmp_path: Path) -> None:
    job = start_script(ready(profile="driver"), tmp_path)
    stored = store(job, msgpack.packb(1), b"\xc1", msgpack.packb(3))
    assert stored.message.indices == [0]
    assert isinstance(Failure.from_payload(bytes(stored.buffers[0])), Failure)


@pytest.mark.parametrize(
    ("source", "kind", "config"),
    [
        ("config = {tasks = 5}\nerror('no good')", "runtime", {"tasks": 5}),
        ("function (", "syntax", None),
    ],
)
def test_a_script_that_does_not_load_says_why(
    ready: Callable, source: str, kind: str, config: object
) -> None:
    peer = ready(profile="driver")
    job = Job(peer, source)
    peer.send(LoadScript("j1", job.digest))
    frame = peer.receive()
    assert frame.message == ScriptLoaded("j1", [])
    assert msgpack.unpackb(frame.buffers[0]) == config
    assert Failure.from_payload(bytes(frame.buffers[1])).kind == kind


def test_a_script_process_reads_the_users_stdin(spawn: Callable, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"from the user\n")
    os.close(write)
    before = os.dup(0)
    os.dup2(read, 0)
    try:
        zygote = Zygote.start(pass_stdin=True)
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(read)
    peer = spawn(zygote=zygote, profile="driver")
    peer.receive()
    job = start_script(peer, tmp_path)
    job.submit_plain("generate_data", 2)
    assert job.collect(1) == ["from the user"]
    zygote.close()


def test_full_speed_and_sensible_ends_at_every_level(ready: Callable) -> None:
    source = """function execute_code()
        local began, sum = os.clock(), 0
        for i = 1, 2e7 do sum = sum + i % 7 end
        return os.clock() - began
    end"""
    took = {}
    for level in (0, 3):
        job = Job(ready(sandbox_level_max=level), source)
        took[level] = min(job.run(1, 1, 1))
    # the interpreter would take ten times as long
    assert took[3] < 3 * took[0]
