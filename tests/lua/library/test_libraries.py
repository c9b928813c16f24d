import math

import pytest

from midas_mp.lua.output import Printed, Progressed
from midas_mp.permissions import NO_FILES


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("table.pack(1, nil, 3).n", 3),
        ("select('#', table.unpack({1, 2, 3}))", 3),
        ("table.unpack == unpack", True),
        ("rawlen({1, 2})", 2),
        ("rawlen('abc')", 3),
        ("rawlen(setmetatable({1}, {__len = function() return 7 end}))", 1),
        ("math.log(8, 2)", 3),
        ("math.floor(math.log(math.exp(1)))", 1),
        (
            "type(os.time()) .. type(os.clock()) .. os.date('!%Y', 0) .. type(os.difftime(2, 1))",
            "numbernumber1970number",
        ),
        ("type(collectgarbage('count')) .. collectgarbage() .. collectgarbage('stop')", "number00"),
        ("select(2, xpcall(function(a, b) return a + b end, print, 1, 2))", 3),
        ("type(debug.traceback('x'))", "string"),
        ("bit32.bor(1, 2)", 3),
        ("math.pow(2, 10)", 1024),
        ("math.log10(1000)", pytest.approx(3)),
        ("math.atan2(1, 1) * 4", pytest.approx(math.pi)),
        ("table.getn({1, 2}) + table.maxn({[7] = 1})", 9),
        ("utf8.len('äö')", 2),
        ("table.concat(table.move({1, 2}, 1, 2, 2), ',')", "1,1,2"),
        ("tostring(string.dump) .. tostring(debug.getinfo) .. tostring(setfenv)", "nilnilnil"),
    ],
)
def test_what_scripts_expect_is_there(task, expression, expected):
    assert task(f"return {expression}") == expected


@pytest.mark.parametrize("engine", ["luajit"])
@pytest.mark.parametrize(
    ("expression", "expected"),
    [("_VERSION", "Lua 5.1"), ("jit.version:sub(1, 6)", "LuaJIT"), ("bit.bor(1, 2)", 3)],
)
def test_what_is_luajit_s_own(task, expression, expected):
    assert task(f"return {expression}") == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("os.exit(1)", "os.exit is not available in a task"),
        ("os.execute('x')", "os.execute is not available in a task"),
        ("os.getenv('x')", "os.getenv is not available in a task"),
        ("dofile('x')", "dofile is not available in a task; use require"),
        ("loadfile('x')", "loadfile is not available in a task; use require"),
    ],
)
def test_what_is_not_there_says_so_where_it_is_called(failing, call, message):
    assert failing(call).message == f"script.lua:2: {message}"


@pytest.mark.parametrize("call", ["os.clock()", "os.time()", "os.date()"])
def test_without_the_clock_nobody_says_what_time_it_is(failing, call):
    refusals = NO_FILES._replace(clock="is not permitted on this node")
    message = failing(call, refusals=refusals).message
    name = call.removesuffix("()")
    assert message == (
        f"script.lua:2: {name} is not available in a task: the clock is not permitted on this node"
    )


# -- coroutines --------------------------------------------------------------------------------


def test_coroutines_work_as_ever(task):
    assert task(
        "local function upto(n) for i = 1, n do coroutine.yield(i) end end\n"
        "local function gen(n) return coroutine.wrap(function() upto(n) end) end\n"
        "local sum = 0 for i in gen(10) do sum = sum + i end\n"
        "local function body(a) local b = coroutine.yield(a + 1) error('in ' .. b) end\n"
        "local co = coroutine.create(body)\n"
        "local _, first = coroutine.resume(co, 1)\n"
        "local ok, message = coroutine.resume(co, 'two')\n"
        "return {sum, first, ok, message, coroutine.status(co)}"
    ) == [55, 2, False, "script.lua:5: in two", "dead"]


def test_many_coroutines_one_after_the_other_are_no_nesting(task):
    assert (
        task("for i = 1, 1000 do coroutine.wrap(function() coroutine.yield() end)() end return 1")
        == 1
    )


def test_depth_is_counted_anew_for_each_task(script):
    state = script(
        "local function nest() return coroutine.wrap(nest)() end\n"
        "local function deep(n) if n == 0 then return 0 end\n"
        "  return coroutine.wrap(function() return 1 + deep(n - 1) end)() end\n"
        "function execute_code() if midas.index == 0 then local x = nest() end return deep(140) end"
    )
    assert state.fail(index=0).message == "too many nested coroutines"
    assert state.call(index=1) == 140


# -- print, progress, check --------------------------------------------------------------------


def test_print_leaves_tab_separated_and_in_order(script):
    state = script(
        "function execute_code() print('a', 1, nil, true) print() _print('b') midas.print(2) end"
    )
    state.call(index=4, round=2)
    assert state.records() == [
        Printed("job-1", 2, 4, text) for text in (b"a\t1\tnil\ttrue", b"", b"b", b"2")
    ]


def test_print_runs_tostring_as_lua_does(script):
    state = script(
        "local mt = {__tostring = function() return 'me' end}\n"
        "function execute_code() print(setmetatable({}, mt)) end"
    )
    state.call()
    assert state.printed() == [b"me"]


def test_what_the_main_chunk_prints_belongs_to_the_task(script):
    state = script("print('top') function execute_code() end")
    state.call(index=6)
    assert state.records() == [Printed("job-1", 0, 6, b"top")]


def test_what_was_printed_before_an_error_is_there(script):
    state = script("function execute_code() io.write('half') error('x') end")
    state.fail()
    assert state.printed() == [b"half"]


def test_progress_in_all_its_spellings(script):
    state = script(
        "function execute_code() _progress(50, 0) midas.progress(0.75) _progress(250, 0) end"
    )
    state.call(index=1)
    assert [r for r in state.records() if isinstance(r, Progressed)] == [
        Progressed("job-1", 0, 1, 0.5),
        Progressed("job-1", 0, 1, 1.0),
    ]


def test_progress_wants_a_number(failing):
    assert (
        failing("_progress('x')").message == "script.lua:2: _progress wants a number from 0 to 100"
    )
    assert failing("_progress(1, 'x')").message == (
        "script.lua:2: _progress wants the interval as a number of milliseconds"
    )
    assert failing("midas.progress()").message == (
        "script.lua:2: midas.progress wants a number from 0 to 1"
    )


def test_check_does_nothing(task):
    assert task("_check() midas.check() return 1") == 1


def test_sorted_pairs_orders_numbers_strings_booleans(task):
    assert (
        task(
            "local keys = {}\n"
            "local t = {b = 1, a = 2, [10] = 3, [2] = 4, [-1] = 5, [true] = 6, [false] = 7}\n"
            "for k, v in midas.sorted_pairs(t)"
            " do keys[#keys + 1] = tostring(k) .. v end return table.concat(keys, ' ')"
        )
        == "-15 24 103 a2 b1 false7 true6"
    )


def test_sorted_pairs_refuses_what_has_no_order(failing):
    assert failing("for _ in midas.sorted_pairs({[print] = 1}) do end").message == (
        "script.lua:2: midas.sorted_pairs cannot order a function key"
    )
