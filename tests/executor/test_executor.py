"""The executor as a program uses it."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import math
import threading
import time

import numpy as np
import psutil
import pytest

import midas_mp
from midas_mp import ExecutorClosed, ScriptError, UnsendableValue, UsageError
from midas_mp.blobs import pool
from midas_mp.executor.executor import Executor

SQUARE = "function(x) return x * x end"
ENDLESS = "function() while true do end end"


# -- submit ----------------------------------------------------------------------------------------


def test_a_call_gives_what_the_function_returns(executor):
    assert executor.submit(SQUARE, 7).result() == 49
    assert executor.submit(
        "function(a, b, c) return { a, b, c = c } end", 1, "x", 2.5
    ).result() == {
        1: 1,
        2: "x",
        "c": 2.5,
    }
    assert executor.submit("function() end").result() is None
    assert executor.submit("function(...) return select('#', ...) end", None, 1, None).result() == 3


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -5, 2**53, 0.1, math.inf, "", "äö€", b"\xff\x00", [], [1, [2, "x"]], {"a": 1}],
)
def test_values_come_back_as_they_went(executor, value):
    back = executor.submit("function(x) return x end", value).result()
    assert back == value
    assert type(back) is type(value)


def test_text_and_bytes_are_one_kind_of_string_in_lua(executor):
    assert executor.submit("function(x) return #x end", "ä").result() == 2
    assert executor.submit("function(x) return x end", b"plain").result() == "plain"


def test_raw_gives_every_string_as_bytes(make_executor):
    executor = make_executor(raw=True)
    assert executor.submit("function() return { key = 'x' } end").result() == {b"key": b"x"}
    assert list(executor.map("function(x) return x end", ["a"])) == [b"a"]


def test_source_may_be_a_chunk_that_returns_the_function(executor):
    chunk = "local k = 3\nlocal function times(x) return k * x end\nreturn times"
    assert executor.submit(chunk, 5).result() == 15


def test_a_function_of_a_file_is_called_by_its_name(executor, tmp_path):
    (tmp_path / "lib.lua").write_text("return { base = 100 }")
    path = tmp_path / "job.lua"
    path.write_text('local lib = require "lib"\nfunction add(x) return lib.base + x end\n')
    function = midas_mp.lua_function(path, "add")
    assert executor.submit(function, 5).result() == 105
    assert list(executor.map(function, [1, 2])) == [101, 102]
    with pytest.raises(ScriptError, match=r"job\.lua defines no function other"):
        executor.submit(midas_mp.lua_function(path, "other")).result()


def test_each_call_has_an_environment_of_its_own(executor):
    chunk = "count = 0 return function() count = count + 1 return count end"
    assert [executor.submit(chunk).result() for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("function(x) return x +", "syntax", "function:1: "),
        ("this is no Lua", "syntax", "function:1: "),
        ("return 42", "missing_function", "no function"),
        ("", "missing_function", "no function"),
        ("function() error('deliberate') end", "runtime", "function:1: deliberate"),
        ("function() return function() end end", "unsendable", "cannot send a function"),
        (
            "function() local t = {} t[1] = t return t end",
            "unsendable",
            "cannot send|holds itself|cycle|deep",
        ),
    ],
)
def test_what_is_wrong_with_the_source_is_said(executor, source, kind, text):
    with pytest.raises(ScriptError, match=text) as raised:
        executor.submit(source).result(30)
    assert raised.value.kind == kind
    assert raised.value.worker


def test_the_line_of_source_is_shown(executor):
    source = "function(x)\n  local y = x\n  return y.z.a\nend"
    for use in (
        lambda: executor.submit(source, {}).result(),
        lambda: [*executor.map(source, [{}])],
    ):
        with pytest.raises(ScriptError, match=r"function:3: attempt .*\n  3 \| return y\.z\.a"):
            use()
    with pytest.raises(ScriptError, match=r"function:2: .*\n  2 \| return = 1"):
        executor.submit("function(x)\n  return = 1\nend", 1).result()


def test_an_error_has_the_traceback_of_lua(executor):
    source = "local function inner() error('deep') end\nreturn function() inner() end"
    error = executor.submit(source).exception()
    assert isinstance(error, ScriptError)
    assert "function:1" in error.traceback
    assert "function:2" in error.traceback


@pytest.mark.parametrize("function", [len, lambda x: x, 42, None, b"function() end", ["x"]])
def test_what_is_no_lua_function_is_refused_at_once(executor, function):
    with pytest.raises(TypeError, match="give Lua source"):
        executor.submit(function)
    with pytest.raises(TypeError, match="give Lua source"):
        executor.map(function, [1])


def test_bytecode_is_refused_at_once(executor):
    with pytest.raises(ScriptError, match="bytecode"):
        executor.submit("\x1bLJ\x02")


def test_an_argument_that_cannot_be_sent_is_named(executor):
    with pytest.raises(UnsendableValue, match=r"argument 2: \.rows\[1\]: cannot send a set"):
        executor.submit(SQUARE, 1, {"rows": [0, {1}]})
    with pytest.raises(TypeError):
        executor.submit(SQUARE, object())


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_what_only_lua_refuses_is_named_too(executor, chunksize):
    source, rows = "function(...) return ... end", [(1, 2), (1, {"rows": [None]}), (3, 4)]
    named = r"argument 2: \.rows\[0\]: None inside a list"
    with pytest.raises(ScriptError, match=named) as raised:
        executor.submit(source, *rows[1]).result()
    assert raised.value.kind == "unsendable"
    with pytest.raises(ScriptError, match=named) as raised:
        list(executor.starmap(source, rows, chunksize=chunksize))
    assert raised.value.index == 1
    with pytest.raises(ScriptError, match="cannot be a key"):
        executor.submit(source, {(1, 2): 3}).result()


def test_a_number_beyond_what_lua_can_hold_is_refused(executor):
    with pytest.raises(ScriptError, match=r"2\^53"):
        executor.submit("function(x) return x end", 2**53 + 1).result()


def test_a_result_beyond_the_limit_is_an_error(executor):
    fill = "local t, s = {}, ('x'):rep(2^20) for i = 1, 1100 do t[i] = s end return t"
    source = f"function() {fill} end"
    with pytest.raises(ScriptError):
        executor.submit(source).result()
    assert executor.submit(SQUARE, 2).result() == 4


def test_a_call_of_too_much_time_is_ended(make_executor):
    executor = make_executor(timeout="300ms")
    with pytest.raises(ScriptError) as raised:
        executor.submit(ENDLESS).result()
    assert raised.value.kind == "timeout"
    assert executor.submit(SQUARE, 3).result() == 9


def test_a_call_of_too_much_memory_is_ended(make_executor):
    executor = make_executor(memory="32MB")
    source = "function() local t = {} for i = 1, 1e9 do t[i] = { i } end end"
    with pytest.raises(ScriptError) as raised:
        executor.submit(source).result()
    assert raised.value.kind == "memory"
    assert executor.submit(SQUARE, 3).result() == 9


@pytest.mark.parametrize("chunksize", [1, 4])
def test_a_call_that_fails_is_tried_again_as_often_as_was_said(make_executor, chunksize):
    source = """function(x)
        if midas.attempt < 2 then error("not yet") end
        return x
    end"""
    executor = make_executor(retries=2)
    assert executor.submit(source, 7).result() == 7
    assert list(executor.map(source, range(8), chunksize=chunksize)) == list(range(8))
    with pytest.raises(ScriptError, match="not yet"):
        make_executor(retries=1).submit(source, 7).result()


@pytest.mark.parametrize("lua", ["5.4", "5.5"])
def test_other_engines_do_the_same(make_executor, lua):
    executor = make_executor(lua=lua)
    version = executor.submit("function() return _VERSION end").result()
    assert version == f"Lua {lua}"
    assert list(executor.map("function(x) return x // 2 end", range(5))) == [0, 0, 1, 1, 2]


# -- map -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 2, 7, 1000])
def test_results_stand_in_the_order_of_the_items(executor, chunksize):
    results = executor.map(SQUARE, range(500), chunksize=chunksize)
    assert list(results) == [x * x for x in range(500)]


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_the_shortest_iterable_ends_it(executor, chunksize):
    add = "function(x, y) return x + y end"
    results = executor.map(add, range(10), itertools.repeat(100), chunksize=chunksize)
    assert list(results) == list(range(100, 110))


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_rows_hold_all_arguments(executor, chunksize):
    rows = [(x, 2) for x in range(7)]
    results = executor.starmap("function(x, y) return x ^ y end", rows, chunksize=chunksize)
    assert list(results) == [x * x for x in range(7)]
    assert list(executor.starmap(SQUARE, [(3,)])) == [9]
    assert list(executor.starmap(SQUARE, [])) == []


def test_rows_of_different_lengths_are_refused(executor):
    with pytest.raises(ValueError, match="rows of one length; the first has 2"):
        executor.starmap(SQUARE, [(1, 2), (1,)])
    with pytest.raises(ValueError, match="at least one argument"):
        executor.starmap(SQUARE, [()])


def test_a_map_over_nothing_is_empty(executor):
    assert list(executor.map(SQUARE, [])) == []
    with pytest.raises(TypeError, match="at least one iterable"):
        executor.map(SQUARE)


def test_nil_is_a_result_like_any_other(executor):
    source = "function(x) if x % 2 == 0 then return x end end"
    for chunksize in (None, 1):
        assert list(executor.map(source, range(4), chunksize=chunksize)) == [0, None, 2, None]


def test_unordered_gives_all_of_them(executor):
    for chunksize in (None, 1, 3):
        results = executor.map(SQUARE, range(200), chunksize=chunksize, unordered=True)
        assert sorted(results) == [x * x for x in range(200)]


def test_unordered_does_not_wait_for_a_slow_one(make_executor):
    executor = make_executor(max_workers=2)
    source = "function(x) if x == 0 then while true do end end return x end"
    results = executor.map(source, range(3), chunksize=1, unordered=True)
    assert sorted(itertools.islice(results, 2)) == [1, 2]
    results.close()


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_endless_call_holds_back_none_before_it_and_none_that_another_worker_can_do(
    make_executor, workers, is_warm
):
    executor = make_executor(max_workers=workers)
    source = "function(x) while x < 0 do end return x end"
    if is_warm:  # calls are known to be short, and many share a frame
        assert len(list(executor.map(source, range(3_000), chunksize=1))) == 3_000
    values = [1, 2, 3, -1, *range(4, 2_000 if workers > 1 else 7)]
    futures = [executor.submit(source, value) for value in values]
    free = values if workers > 1 else values[:4]
    done = [future.result(20) for future, x in zip(futures, free, strict=False) if x > 0]
    assert done == [x for x in free if x > 0]
    assert not futures[3].done()
    assert futures[3].cancel()
    done = [future.result(20) for future, x in zip(futures, values, strict=True) if x > 0]
    assert done == [x for x in values if x > 0]


@pytest.mark.parametrize("chunksize", [None, 1, 4, 100])
def test_the_first_error_is_raised_at_its_place(executor, chunksize):
    source = "function(x) if x >= 13 then error('item ' .. x) end return x end"
    results = executor.map(source, range(100), chunksize=chunksize)
    assert list(itertools.islice(results, 13)) == list(range(13))
    with pytest.raises(ScriptError, match="item 13") as raised:
        next(results)
    assert raised.value.index == 13
    assert list(results) == []


@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_an_item_that_cannot_be_sent_is_an_error_at_its_place(executor, chunksize):
    results = executor.map(SQUARE, [1, 2, 3, 4, 5, {6}, 7], chunksize=chunksize)
    assert list(itertools.islice(results, 5)) == [1, 4, 9, 16, 25]
    with pytest.raises(UnsendableValue, match="item 5, argument 1: cannot send a set"):
        next(results)


def test_what_a_map_draws_does_not_depend_on_its_chunks(make_executor):
    source = "function() return math.random() end"
    executor = make_executor(seed=7)
    drawn = list(executor.map(source, range(50)))
    assert len(set(drawn)) == 50
    for chunksize in (1, 7):
        other = make_executor(seed=7, max_workers=2)
        assert list(other.map(source, range(50), chunksize=chunksize)) == drawn


def test_a_result_that_is_late_is_a_timeout(executor):
    source = "function(x) if x == 1 then while true do end end return x end"
    results = executor.map(source, range(2), timeout=0.3, chunksize=1)
    assert next(results) == 0
    with pytest.raises(TimeoutError):
        next(results)
    assert executor.submit(SQUARE, 2).result() == 4


def test_an_endless_iterable_is_read_as_far_as_the_buffer_goes(executor):
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    results = executor.map(SQUARE, numbers(), buffersize=20)
    assert len(taken) == 20
    for given, result in enumerate(itertools.islice(results, 500)):
        assert result == given * given
        assert len(taken) <= given + 20
    results.close()


@pytest.mark.parametrize("chunksize", [None, 1, 3])
@pytest.mark.parametrize("buffersize", [1, 2, 10, 1000])
def test_a_buffer_of_any_size_gives_all_results(executor, chunksize, buffersize):
    results = executor.map(SQUARE, range(60), chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [x * x for x in range(60)]


def test_an_iterable_that_breaks_is_an_error_of_the_caller(executor):
    def broken():
        yield from range(5)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        executor.map(SQUARE, broken())
    results = executor.map(SQUARE, broken(), buffersize=2)
    with pytest.raises(KeyError, match="mine"):
        list(results)


@pytest.mark.parametrize("size", [0, -1, 1.5, "7"])
def test_sizes_below_one_are_refused(executor, size):
    for name in ("chunksize", "buffersize"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of 1 or more"):
            executor.map(SQUARE, [1], **{name: size})


def test_progress_is_told(executor):
    told = []
    results = executor.map(
        SQUARE, range(100), progress=lambda done, total: told.append((done, total))
    )
    assert sum(1 for _ in results) == 100
    assert told[-1] == (100, 100)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_million_calls_are_no_matter(executor):
    assert sum(executor.map("function(x) return x + 1 end", range(1_000_000))) == 500_000_500_000


# -- several at a time -----------------------------------------------------------------------------


def test_wait_and_as_completed_of_the_standard_library_work(executor):
    futures = [executor.submit(SQUARE, x) for x in range(20)]
    done, waiting = concurrent.futures.wait(futures)
    assert (len(done), len(waiting)) == (20, 0)
    futures = [executor.submit(SQUARE, x) for x in range(20)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == [
        x * x for x in range(20)
    ]


def test_many_threads_may_use_it_at_once(executor):
    sums = {}

    def work(number):
        futures = [executor.submit(SQUARE, number) for _ in range(50)]
        mapped = sum(executor.map(SQUARE, range(number)))
        sums[number] = (sum(f.result() for f in futures), mapped)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == {n: (50 * n * n, sum(x * x for x in range(n))) for n in range(8)}


def test_maps_may_be_read_side_by_side(executor):
    maps = [executor.map(SQUARE, range(300), chunksize=c) for c in (None, 1, 5)]
    assert all(a == b == c for a, b, c in zip(*maps, strict=True))


# -- the end ---------------------------------------------------------------------------------------


def test_after_shutdown_nothing_is_taken(make_executor):
    executor = make_executor()
    future = executor.submit(SQUARE, 3)
    executor.shutdown()
    assert future.result(0) == 9
    for use in (lambda: executor.submit(SQUARE, 1), lambda: executor.map(SQUARE, [1])):
        with pytest.raises(ExecutorClosed, match="after shutdown") as raised:
            use()
        assert isinstance(raised.value, RuntimeError)
    executor.shutdown()
    assert repr(executor) == "<midas_mp.Executor on this machine, shut down>"


def test_shutdown_waits_for_what_is_under_way(make_executor):
    executor = make_executor()
    results = executor.map(SQUARE, range(1000), chunksize=1)
    futures = [executor.submit(SQUARE, x) for x in range(100)]
    executor.shutdown()
    assert [f.result(0) for f in futures] == [x * x for x in range(100)]
    assert list(results) == [x * x for x in range(1000)]


def test_shutdown_without_waiting_lets_it_come(make_executor):
    executor = make_executor()
    futures = [executor.submit(SQUARE, x) for x in range(100)]
    executor.shutdown(wait=False)
    assert [f.result() for f in futures] == [x * x for x in range(100)]


def test_shutdown_may_cancel_what_is_under_way(make_executor):
    executor = make_executor()
    future = executor.submit(ENDLESS)
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()


def test_a_map_that_is_fed_as_it_is_read_ends_with_its_executor(make_executor):
    executor = make_executor()
    results = executor.map(SQUARE, itertools.count(), buffersize=5)
    assert next(results) == 0
    executor.shutdown()
    with pytest.raises(ExecutorClosed):
        list(results)


# -- options and looks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_workers": 0}, "max_workers must be a whole number"),
        ({"max_workers": "two"}, "max_workers must be a whole number"),
        ({"max_workers": 1, "address": "127.0.0.1:3000"}, "max_workers is for this machine"),
        ({"address": "nowhere:x"}, "nowhere:x"),
        ({"timeout": -1}, "is not a duration"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"memory": 5}, "is not a memory size"),
        ({"lua": "5.1"}, "is no Lua that Midas runs"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(UsageError, match=text):
        Executor(**options)


def test_it_says_what_it_is(make_executor):
    executor = make_executor(max_workers=2)
    assert repr(executor) == "<midas_mp.Executor on this machine, 2 workers>"
    executor.submit(SQUARE, 1).result()
    assert repr(executor) == "<midas_mp.Executor on this machine, 2 workers>"


def test_prints_reach_stderr_with_the_worker_before_them(make_executor, capsys):
    executor = make_executor()
    executor.submit("function() print('hello', 1) end").result()
    executor.shutdown()
    assert "-000] hello\t1\n" in capsys.readouterr().err


# -- arrays ----------------------------------------------------------------------------------------

RISING = """
function(length, from)
  local a = midas.array("float64", length)
  for i = 1, length do a[i] = from + i end
  return a
end
"""
LONG = 20_000


# -- standing still --------------------------------------------------------------------------------

SPIN = "function() local ends = os.clock() + 0.4 while os.clock() < ends do end return 'spun' end"


def until(look):
    """For what the kernel says of processes, which nothing announces."""
    deadline = time.monotonic() + 40
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_runs_stops_in_the_middle_and_goes_on_there(make_executor):
    before = set(children())
    executor = make_executor(timeout=30)
    (zygote,) = set(children()) - before
    assert executor.submit("function() return 'ready' end").result() == "ready"
    (worker,) = psutil.Process(zygote).children()
    rested_s = worker.cpu_times().user
    future = executor.submit(SPIN)
    until(lambda: worker.cpu_times().user > rested_s + 0.1)
    executor.pause()
    until(lambda: worker.status() == psutil.STATUS_STOPPED)
    assert not future.done()
    executor.resume()
    assert future.result() == "spun"


def test_what_begins_later_waits_too_calls_maps_and_scripts(make_executor, tmp_path, caplog):
    (tmp_path / "job.lua").write_text(
        "function generate_data(i, n) return i end function execute_code() return 1 end "
        "function interpret_results() return #results end"
    )
    executor = make_executor()
    executor.pause()
    future = executor.submit(SQUARE, 3)
    results = executor.map(SQUARE, range(3), timeout=0.2)
    with pytest.raises(TimeoutError):
        next(results)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        script = pool.submit(executor.run, tmp_path / "job.lua", tasks=2)
        assert not future.done()
        executor.resume()
        assert script.result() == 2
    assert future.result() == 9
    assert list(executor.map(SQUARE, range(3))) == [0, 1, 4]
    assert caplog.messages == [], "who pauses knows it"


@pytest.mark.parametrize("cancel", [False, True])
def test_the_end_lets_it_go_on_or_stops_it(make_executor, cancel):
    executor = make_executor()
    executor.pause()
    future = executor.submit(SQUARE, 3)
    executor.shutdown(cancel_futures=cancel)
    assert future.cancelled() == cancel
    assert cancel or future.result() == 9
    for act in (executor.pause, executor.resume):
        with pytest.raises(ExecutorClosed):
            act()


def children() -> list[int]:
    return [each.pid for each in psutil.Process().children()]


def test_arrays_in_results_are_what_they_were_whatever_ends(make_executor):
    before = set(children())
    executor = make_executor(max_workers=1)
    kept = {start: executor.submit(RISING, LONG, start).result() for start in range(0, 500, 100)}
    (started,) = set(children()) - before
    for worker in psutil.Process(started).children():
        worker.kill()
    part = executor.submit(RISING, LONG, 500).result()[LONG // 2 :]
    executor.shutdown()
    gc.collect()
    other = make_executor(max_workers=1)
    late = list(other.map(RISING, [LONG] * 10, range(1_000, 2_000, 100), chunksize=1))
    rising = np.arange(1.0, LONG + 1)
    assert all((array == rising + start).all() for start, array in kept.items())
    assert all((array == rising + 1_000 + 100 * i).all() for i, array in enumerate(late))
    assert (part == rising[LONG // 2 :] + 500).all()


def test_arrays_that_are_dropped_leave_room_for_the_next(executor):
    def used() -> int:
        assert pool.allocate(0) is not None  # so that there is a pool
        return pool._of_this_process.get().used_bytes

    before = used()
    array = np.arange(float(LONG))
    for _ in range(50):
        assert executor.submit("function(a) return a[2] end", array).result() == 1
        assert used() - before <= 3 * array.nbytes


# -- what Lua may use ------------------------------------------------------------------------------

USES = """
function(path)
  local function try(use, ...)
    local ok, what = pcall(use, ...)
    return ok and (type(what) == "number" and "yes" or what:read("*l")) or what
  end
  return { try(os.clock), try(io.open, path) }
end
"""

REPORT = """
config = { permissions = { "read", "clock", "write" } }
function generate_data() return {} end
function execute_code() return { pcall(os.clock) } end
function interpret_results()
  local file, why = io.open(arg[1], "w")
  if file then file:write("written") file:close() end
  return tostring(results[1][1]) .. " " .. tostring(pcall(os.clock)) .. " " .. tostring(why)
end
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("from the file\n")
    return tmp_path / "data"


@pytest.mark.parametrize("host_process", [False, True])
def test_calls_may_use_what_is_granted_and_not_denied(make_executor, data, host_process):
    said = {"allow": [f"read={data}"], "deny": ["clock"], "host_process": host_process}
    executor = make_executor(max_workers=1, **said)
    clock, read = executor.submit(USES, str(data / "a.txt")).result()
    assert "the clock is not permitted on this node" in clock
    assert read == "from the file"


def test_a_script_asks_in_vain_for_what_the_program_denies(make_executor, data, tmp_path):
    path = tmp_path / "job.lua"
    path.write_text(REPORT)
    executor = make_executor(max_workers=1, deny=["clock"])
    refused = executor.run(path, data / "out.txt")
    assert refused == f"false false {data}/out.txt: Permission denied"
    assert executor.run(path, data / "out.txt", allow_write=[data]) == "false false nil"
    assert (data / "out.txt").read_text() == "written"


def test_processes_that_are_confined_less_than_is_wanted_are_of_no_use(make_executor):
    executor = make_executor(max_workers=1, sandbox_level_max=1, sandbox_level_min=2)
    with pytest.raises(midas_mp.BrokenCluster, match="reaches only sandbox level 1 of 3"):
        executor.submit(SQUARE, 1).result()
