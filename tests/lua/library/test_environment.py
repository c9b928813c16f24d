import pytest

from midas_mp.lua.runtime import Profile

DRIVER = {"profile": Profile.DRIVER}


def test_no_task_sees_another_s_globals(script):
    state = script(
        "count = (count or 0) + 1\nlocal kept = 0\n"
        "function execute_code()\n"
        "  extra = (extra or 0) + 1 kept = kept + 1 return {count, extra, kept} end"
    )
    assert [state.call(index=i) for i in range(3)] == [[1, 1, 1]] * 3


def test_library_tables_are_each_task_s_own(script):
    state = script(
        "function execute_code()\n"
        "  if midas.index == 0 then\n"
        "    math.floor = nil string.own = print table.insert, os.time = 1, 2 midas.index = 9\n"
        "    bit32.mine, utf8.mine, coroutine.mine, package.loaded.x, arg[1] = 1, 2, 3, 4, 5\n"
        "  end\n"
        "  return {math.floor and 1 or 0, string.own and 1 or 0, type(os.time), midas.index,\n"
        "    bit32.mine or utf8.mine or coroutine.mine or package.loaded.x or arg[1] or 'none'}\n"
        "end"
    )
    assert state.call(index=0) == [0, 1, "number", 9, 1]
    assert state.call(index=1) == [1, 0, "function", 1, "none"]


def test_isolate_false_keeps_one_environment_and_runs_the_main_chunk_once(script):
    state = script(
        "runs = (runs or 0) + 1\n"
        "function execute_code() kept = (kept or 0) + 1 return {runs, kept, midas.index} end",
        isolate=False,
    )
    assert [state.call(index=i) for i in range(3)] == [[1, 1, 0], [1, 2, 1], [1, 3, 2]]


def test_a_main_chunk_that_failed_is_run_again(script):
    state = script(
        "if not cached then cached = 1 error('first') end\n"
        "function execute_code() return cached end",
        isolate=False,
    )
    assert state.fail().kind == "runtime"
    assert state.call() == 1


def test_the_driver_has_one_environment(script):
    state = script(
        "n = 0 function generate_data() n = n + 1 return n end "
        "function interpret_results() return n end",
        **DRIVER,
    )
    state.start()
    assert [state.call("generate_data", index=i, count=2) for i in range(2)] == [1, 2]
    assert state.call("interpret_results", count=2) == 2


STRICT = """
local declared = {}
local mt = getmetatable(_G)
if mt == nil then mt = {} setmetatable(_G, mt) end
mt.__newindex = function(t, k, v)
  if not declared[k] then error("assign to undeclared '" .. tostring(k) .. "'", 2) end
  rawset(t, k, v)
end
mt.__index = function(_, k) error("undeclared '" .. tostring(k) .. "'", 2) end
declared.execute_code = true
function execute_code()
  math.mine = 1
  local ok, message = pcall(function() return missing end)
  return { math.floor(2.5), #tostring(print) > 0, message, ("x"):rep(2), math.mine }
end
"""


@pytest.mark.parametrize("isolate", [True, False])
def test_the_strict_idiom_works_and_stays_in_its_task(script, isolate):
    state = script(STRICT, isolate=isolate)
    for index in range(2):
        assert state.call(index=index, payload=1) == [
            2,
            True,
            "script.lua:13: undeclared 'missing'",
            "xx",
            1,
        ]


def test_the_metatable_of_the_globals_is_not_revealed(task):
    assert task("return getmetatable(_G) == nil") is True
    assert task("local mt = {} setmetatable(_G, mt) return getmetatable(_G) == mt") is True


def test_globals_by_name_and_itself(task):
    assert task("x = 1 return {_G.x, _G._G == _G, _G.math == math, rawequal(_G, _G._G)}") == [
        1,
        True,
        True,
        True,
    ]


def test_methods_that_a_script_adds_to_string_work_on_strings(script):
    state = script(
        "function execute_code()\n"
        "  if midas.index == 0 then function string.trim(s) return (s:gsub('%s', '')) end end\n"
        "  if string.trim then return (' a b '):trim() end\n"
        "  return (' '):len() .. tostring((' ').trim)\n"
        "end"
    )
    assert state.call(index=0) == "ab"
    assert state.call(index=1) == "1nil"


# -- load -------------------------------------------------------------------------------------


def test_load_compiles_text_in_the_task_s_world(task):
    assert task("y = 2 return load('x = 1 return y')() + x") == 3
    assert task("return load('return z', 'name', 't', {z = 5})()") == 5
    assert task("return {select(2, load('return +', '=here'))}") == [
        "here:1: unexpected symbol near '+'"
    ]
    assert task("return loadstring('return 7')()") == 7


# -- require ----------------------------------------------------------------------------------


def test_a_module_is_loaded_once_per_environment_and_in_it(script):
    state = script(
        "local a, b = require 'm', require 'm'\n"
        "function execute_code() return {a == b, a.n, loads, package.loaded.m == a} end",
        {"m": "loads = (loads or 0) + 1 return {n = ...}"},
    )
    for index in range(2):
        assert state.call(index=index) == [True, "m", 1, True]


def test_modules_require_modules_and_a_module_may_return_nothing(script):
    state = script(
        "function execute_code() return {require 'a.b', x} end",
        {"a.b": "x = require 'c'", "c": "return false or 'c'"},
    )
    assert state.call() == [True, "c"]


def test_a_missing_module_lists_what_was_shipped(script):
    error = script("function execute_code()\n  require('absent')\nend", {"b": "", "a": ""}).fail()
    assert error.message == (
        "script.lua:2: module 'absent' is missing (shipped with the script: a, b); a module that no"
        " literal require names must be listed in config.modules"
    )


def test_a_missing_module_of_a_script_without_modules(failing):
    assert (
        "(no modules were shipped with the script)" in failing("local x = require('m') x()").message
    )


def test_circles_of_requires_are_an_error(script):
    state = script(
        "function execute_code() local a = require('a') return a end",
        {"a": "local b = require('b') return b", "b": "local a = require('a') return a"},
    )
    error = state.fail()
    assert error.message.startswith("b.lua:1: module 'a' is being loaded already")


def test_libraries_can_be_required(task):
    assert task(
        "local clear = require('table.clear') local t = {1} clear(t)\n"
        "local new = require('table.new')\n"
        "return {require('bit32') == bit32, require('math').floor(1.5), #t, #new(4, 0)}"
    ) == [True, 1, 0, 0]


def test_setting_package_path_does_no_harm(task):
    assert task("package.path = './lib/?.lua;' .. package.path return #package.cpath") == 0


def test_a_local_bundle_s_modules_are_not_another_s(script):
    state = script("function execute_code() return require 'm' end", {"m": "return 1"})
    assert state.call() == 1
    assert (
        "module 'm' is missing" in script("function execute_code() require 'm' end").fail().message
    )


# -- where a task is --------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", [True, False])
def test_midas_says_where_a_task_is(script, isolate):
    state = script(
        "function execute_code() local m = midas return {m.index, m.count, m.round, m.attempt, "
        "m.worker, m.node, m.seed, m.dir, arg[0], arg[1], #arg} end",
        seed=5,
        directory="/jobs",
        arg=["jobs/p.lua", "x"],
        isolate=isolate,
    )
    assert state.call(index=3, count=4, round=1, attempt=2) == [
        3,
        4,
        1,
        2,
        "w-0",
        "node",
        5,
        "/jobs",
        "jobs/p.lua",
        "x",
        1,
    ]


def test_the_main_chunk_gets_the_arguments(script):
    state = script("local a = ... function execute_code() return a end", arg=["p.lua", "first"])
    assert state.call() == "first"
