import os

import msgpack
import pytest

from midas_mp import limits
from midas_mp.errors import InternalError, ScriptError, UsageError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import RENEWED_NS_MIN, Context, Profile, Runtime
from midas_mp.wire.messages import JobSpec

DRIVER = {"profile": Profile.DRIVER}


def test_a_task_reads_global_data_and_returns_a_table(script):
    state = script("function execute_code() return { sum = global_data.a + global_data.b } end")
    assert state.call(payload={"a": 1, "b": 2}) == {"sum": 3}


def test_a_task_without_payload_has_no_global_data(task):
    assert task("return global_data == nil") is True


def test_any_sendable_value_will_do(task):
    assert task("return 'text'") == "text"
    assert task("return true, 2") is True


def test_a_syntax_error_names_file_and_line(script):
    with pytest.raises(ScriptError) as caught:
        script("\nfunction (", main="primes.lua")
    assert caught.value.kind == "syntax"
    assert caught.value.message.replace("'<name>'", "<name>") == (
        "primes.lua:2: <name> expected near '('"
    )
    with pytest.raises(ScriptError) as caught:
        script("", {"a.b": "x ="})
    assert caught.value.message.replace("'<eof>'", "<eof>") == (
        "a/b.lua:1: unexpected symbol near <eof>"
    )


def test_a_missing_function_is_named(script):
    error = script("", main="primes.lua").fail()
    assert (error.kind, error.message) == (
        "missing_function",
        "primes.lua defines no function execute_code",
    )
    assert (error.function, error.index, error.worker, error.job) == (
        "execute_code",
        0,
        "w-0",
        "job-1",
    )


def test_a_runtime_error_has_message_traceback_and_place(script):
    state = script(
        "local function inner(x)\n  return x .. 'z'\nend\n"
        "function execute_code()\n  local r = inner({})\n  return r\nend\n",
        main="primes.lua",
    )
    error = state.fail(index=17)
    told = str(error).replace("a table value (local 'x')", "local 'x' (a table value)")
    assert told == (
        "execute_code, task 17, on w-0: "
        "primes.lua:2: attempt to concatenate local 'x' (a table value)\n"
        "stack traceback:\n"
        "\tprimes.lua:2: in function 'inner'\n"
        "\tprimes.lua:5: in function 'execute_code'"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{rows = {{}, {}, {callback = print}}}", ".rows[3].callback: cannot send a function"),
        ("print", "cannot send a function"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_path(failing, value, message):
    error = failing(f"return {value}")
    assert error.kind == "unsendable"
    assert error.message == f"execute_code() result: {message}"


def test_the_engine_must_be_the_one_that_is_there(script):
    with pytest.raises(UsageError, match=r"no engine lua5\.1 here; there is luajit, lua5\.4"):
        script("", engine="lua5.1")


def test_several_bundles_live_in_one_state(script):
    state = script("function execute_code() return 1 end")
    other = Bundle.from_sources("o.lua", [], [b"function execute_code() return 2 end"])
    state.runtime.load(other)
    state.runtime.load(other)
    assert state.call() == 1
    assert state.runtime.call(other.digest, "execute_code", Context(0, 1)) == [b"\x02"]
    assert state.call() == 1


@pytest.mark.parametrize("engine", ["luajit"])
def test_after_a_long_task_a_bundle_is_compiled_anew(script):
    source = "local twice = require 'twice' function execute_code() return twice(math.random()) end"
    state = script(source, {"twice": "return function(x) return 2 * x end"})
    runtime, digest = state.runtime, state.bundle.digest
    before = state.call()
    compiled = runtime._slots[digest]
    runtime.renew(digest, RENEWED_NS_MIN - 1)
    runtime.renew("another", 10**12)
    assert runtime._slots[digest] == compiled
    runtime.renew(digest, 10**12)
    assert runtime._slots[digest] != compiled
    assert state.call() == before


@pytest.mark.parametrize("engine", ["luajit"])
@pytest.mark.parametrize("settings", [{"engine": "lua5.4"}, {"isolate": False}])
def test_what_would_lose_something_by_it_is_not_compiled_anew(script, settings):
    state = script("function execute_code() n = (n or 0) + 1 return n end", **settings)
    compiled = dict(state.runtime._slots)
    state.runtime.renew(state.bundle.digest, 10**12)
    assert state.runtime._slots == compiled


def test_a_bundle_that_is_unloaded_leaves_nothing_and_may_come_again(script):
    state = script("function execute_code() return 1 end", memory_bytes=32 * limits.MB)
    runtime = state.runtime
    for number in range(64):
        source = b"text = [[%s%d]] function execute_code() return #text end"
        other = Bundle.from_sources("o.lua", [], [source % (b"x" * limits.MB, number)])
        runtime.load(other)
        (length,) = runtime.call(other.digest, "execute_code", Context(0, 1))
        assert msgpack.unpackb(length) == limits.MB + len(str(number))
        runtime.unload(other.digest)
        runtime.unload(other.digest)
    runtime.load(other)
    assert runtime.call(other.digest, "execute_code", Context(0, 1)) == [length]
    assert state.call() == 1


def test_of_a_bundle_that_does_not_load_nothing_stays_for_the_next(script):
    state = script("function execute_code() return 1 end")
    sources = [b"return require 'good'", b"return 1", b"error here"]
    broken = Bundle.from_sources("b.lua", ["good", "wrong"], sources)
    with pytest.raises(ScriptError):
        state.runtime.load(broken)
    source = b"function execute_code() return (pcall(require, 'good')) end"
    other = Bundle.from_sources("o.lua", [], [source])
    state.runtime.load(other)
    assert state.runtime.call(other.digest, "execute_code", Context(0, 1)) == [b"\xc2"]


# -- memory ----------------------------------------------------------------------------------


def test_the_memory_error_names_limit_and_peak_and_spoils_the_state(failing, script):
    state = script(
        "function execute_code() local s = 'x' while true do s = s .. s end end",
        memory_bytes=32 * limits.MB,
    )
    assert not state.runtime.is_spoiled
    error = state.fail(index=3)
    assert error.kind == "memory"
    assert error.message.startswith("memory limit of 32 MB reached, peak ")
    assert (error.function, error.index) == ("execute_code", 3)
    assert state.runtime.is_spoiled


def test_without_a_limit_there_is_none(task):
    assert task("return #('x'):rep(2^26)", memory_bytes=0) == 2**26


def test_a_payload_larger_than_the_limit_is_a_memory_error(script):
    state = script("function execute_code() return 1 end", memory_bytes=4 * limits.MB)
    assert state.fail(payload=[0.5] * 10**6).kind == "memory"


def test_calls_near_the_limit_never_end_the_process(script):
    state = script(
        "function execute_code() local t = {} for i = 1, global_data do t[i] = {i} end "
        "return ('x'):rep(global_data) end",
        memory_bytes=8 * limits.MB,
    )
    kinds = set()
    for step in range(60):
        try:
            state.call(payload=20_000 + 3_000 * step)
            kinds.add("ok")
        except ScriptError as error:
            kinds.add(error.kind)
    assert kinds == {"ok", "memory"}


def test_garbage_of_earlier_tasks_does_not_fail_later_ones(script):
    state = script(
        "function execute_code() return #('x'):rep(2^20 * 9 + midas.index) end",
        memory_bytes=40 * limits.MB,
    )
    for index in range(40):
        assert state.call(index=index) == 9 * 2**20 + index


def test_a_closed_state_says_so(script):
    state = script("function execute_code() end")
    state.runtime.close()
    with pytest.raises(InternalError):
        state.call()


# -- driver ----------------------------------------------------------------------------------

JOB = """
config = { tasks = 3, modules = { "a" } }
seen = 0
function generate_data(index, count)
  seen = seen + 1
  return { index = index, count = count, here = midas.index }
end
function execute_code() end
function interpret_results()
  local parts = { seen, results.n }
  for i = 1, results.n do parts[#parts + 1] = tostring(results[i] or errors[i]) end
  return table.concat(parts, " ")
end
"""


def test_a_driver_s_job_from_start_to_answer(script):
    state = script(JOB, **DRIVER)
    functions, config = state.start()
    assert functions == ["generate_data", "execute_code", "interpret_results"]
    assert config == {"tasks": 3, "modules": ["a"]}
    for index in range(3):
        assert state.call("generate_data", index=index, count=3) == {
            "index": index,
            "count": 3,
            "here": index,
        }
    state.runtime.store(2, [msgpack.packb("c")])
    state.runtime.store(0, [msgpack.packb("a")])
    state.runtime.store_error(1, "went wrong")
    assert state.call("interpret_results", count=3) == "3 3 a went wrong c"


def test_no_config_is_nil(script):
    assert script("", **DRIVER).start() == ([], None)


def test_config_that_cannot_be_sent_is_named(script):
    state = script("config = { tasks = print }", **DRIVER)
    with pytest.raises(ScriptError) as caught:
        state.start()
    assert (caught.value.kind, caught.value.message) == (
        "unsendable",
        "config: .tasks: cannot send a function",
    )
    assert state.runtime.config_after_failure() == b"\xc0"


def test_config_survives_a_failing_main_chunk(script):
    state = script("config = { modules = { 'x' } }\nrequire('x' .. 'y')", **DRIVER)
    with pytest.raises(ScriptError) as caught:
        state.start()
    assert caught.value.kind == "runtime"
    assert caught.value.traceback == "stack traceback:\n\tscript.lua:2: in main chunk"
    assert msgpack.unpackb(state.runtime.config_after_failure()) == {"modules": ["x"]}


@pytest.mark.parametrize(
    ("answer", "expected"), [("'text'", "text"), ("7", 7), ("nil", None), ("0.5", 0.5)]
)
def test_interpret_results_may_return_text_a_number_or_nothing(script, answer, expected):
    state = script(f"function interpret_results() return {answer} end", **DRIVER)
    state.start()
    assert state.call("interpret_results", count=0) == expected


@pytest.mark.parametrize(
    ("answer", "kind"), [("{}", "table"), ("print", "function"), ("true", "boolean")]
)
def test_interpret_results_may_return_nothing_else(script, answer, kind):
    state = script(f"function interpret_results() return {answer} end", **DRIVER)
    state.start()
    error = state.fail("interpret_results", count=0)
    assert error.kind == "unsendable"
    assert error.message == (
        f"interpret_results() result: a {kind} cannot be printed: return a string or a number"
    )
    assert (error.function, error.index) == ("interpret_results", None)


def test_a_result_that_is_no_lua_value_is_refused(script):
    state = script("", **DRIVER)
    state.start()
    with pytest.raises(ScriptError) as caught:
        state.runtime.store(4, [msgpack.packb(2**60)])
    assert caught.value.message == "results[5]: an integer beyond 2^53 cannot be a Lua number"
    assert caught.value.index == 4


def fill(runtime, payload):
    for index in range(4, 100):
        runtime.store(index, [payload])


def test_the_driver_s_memory_is_limited_too(script):
    state = script("", memory_bytes=8 * limits.MB, **DRIVER)
    state.start()
    payload = msgpack.packb([0.5] * 100_000)
    for index in range(4):
        state.runtime.store(index, [payload])
    with pytest.raises(ScriptError) as caught:
        fill(state.runtime, payload)
    assert caught.value.kind == "memory"
    assert state.runtime.is_spoiled


def test_output_bytes_counts_what_was_written():
    output, output_fd = os.pipe()
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(),
        worker="w",
        node="n",
        output_fd=output_fd,
        memory_bytes=0,
    )
    bundle = Bundle.from_sources("s.lua", [], [b"function execute_code() print('abc') end"])
    runtime.load(bundle)
    for index in range(3):
        runtime.call(bundle.digest, "execute_code", Context(index, 3))
    written = os.read(output, 1000)
    assert written == b"".join(b"P j 0 %d 3\nabc" % i for i in range(3))
    assert runtime.output_bytes == len(written)
    runtime.close()
    os.close(output)
    os.close(output_fd)


def test_a_kept_state_full_of_strings_answers_or_fails_but_never_panics(script):
    # The engine's string table doubles while lupa pushes a call's arguments, outside protection.
    state = script(
        "kept = {} function execute_code() for i = 1, 3000 do kept[#kept + 1] = 's' .. #kept end "
        "return #kept end",
        isolate=False,
        memory_bytes=8 * limits.MB,
    )
    outcomes = []
    for index in range(60):
        try:
            outcomes.append(state.call(index=index, payload=f"p{index}"))
        except ScriptError as error:
            outcomes.append(error.kind)
    assert outcomes[:5] == [3000, 6000, 9000, 12000, 15000]
    assert "memory" in outcomes
