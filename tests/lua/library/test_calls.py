"""The driver's further functions: shared data, results as they come, rounds."""

import msgpack
import pytest

from midas_mp.lua.runtime import Profile


@pytest.fixture
def driver(script):
    def start(source):
        state = script(source, profile=Profile.DRIVER)
        state.start()
        return state

    return start


def test_what_on_result_returns_stands_in_the_results_place(driver):
    state = driver(
        "function on_result(index, result) if result.keep then return result.x * 10 end end\n"
        "function interpret_results()\n"
        "  return tostring(results[1]) .. ' ' .. tostring(results[2]) .. ' ' .. results.n end"
    )
    assert state.call("on_result", {"x": 7, "keep": True}, index=1) is None
    assert state.call("on_result", {"x": 1}, index=0) is None
    assert state.call("interpret_results", count=2) == "nil 70 2"


def test_an_error_in_on_result_is_that_index_s(driver):
    error = driver("function on_result(i, r) error('no ' .. r) end").fail("on_result", 5, index=3)
    assert (error.kind, error.message) == ("runtime", "script.lua:1: no 5")
    assert (error.function, error.index) == ("on_result", 3)


def test_a_result_that_is_no_value_never_reaches_on_result(driver):
    error = driver("function on_result() end").fail("on_result", 2**60, index=4)
    assert error.message == "results[5]: an integer beyond 2^53 cannot be a Lua number"


def test_another_round_begins_without_results(driver):
    state = driver(
        "seen = {}\n"
        "function next_round(round)\n"
        "  seen[#seen + 1] = round .. ':' .. results.n .. (results[1] or errors[1])\n"
        "  return midas.round < 1 and 'yes' end\n"
        "function interpret_results()\n"
        "  return table.concat(seen, ' ') .. ' ' .. tostring(results[1] or errors[1]) end"
    )
    state.runtime.store(0, [msgpack.packb("a")])
    assert state.call("next_round", count=2, round=0) is True
    state.runtime.store_error(0, "lost")
    assert state.call("next_round", count=1, round=1) is False
    assert state.call("interpret_results", count=1, round=1) == "0:2a 1:1lost lost"


def test_results_of_a_round_are_gone_in_the_next(driver):
    state = driver(
        "function next_round() return true end\n"
        "function interpret_results() return tostring(next(results)) .. #errors .. results.n end"
    )
    state.runtime.store(0, [msgpack.packb("a")])
    state.runtime.store_error(1, "x")
    state.call("next_round", count=2)
    assert state.call("interpret_results", count=0) == "nil00"


def test_shared_data_is_the_drivers_own_global_too(driver):
    state = driver(
        "function generate_shared_data(...)\n"
        "  return {n = select('#', ...) + midas.round, at = midas.count} end\n"
        "function interpret_results() return shared_data.n end"
    )
    assert state.call("generate_shared_data", round=3, count=8) == {"n": 3, "at": 8}
    assert state.call("interpret_results") == 3


def test_every_function_has_a_stream_of_random_numbers_for_each_call(driver):
    names = ["generate_shared_data", "generate_data", "on_result", "next_round"]
    state = driver(
        "draws = {}\n"
        "local function draw() draws[#draws + 1] = math.random() end\n"
        + "\n".join(f"{name} = draw" for name in names)
        + "\nfunction interpret_results() draw() local t = {} for _, x in ipairs(draws) do\n"
        "t[#t + 1] = string.format('%.17g', x) end return table.concat(t, ' ') end"
    )
    for _ in range(2):
        for name in names:
            payload = 1 if name == "on_result" else None
            state.call(name, payload)
            state.call(name, payload, round=1)
    draws = state.call("interpret_results").split()
    assert draws[:8] == draws[8:16]
    assert len(set(draws)) == 9


def test_all_functions_of_the_contract_are_found(script):
    state = script("function on_result() end next_round = 5", profile=Profile.DRIVER)
    assert state.start() == (["on_result"], None)


# -- in workers --------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", [True, False])
def test_tasks_of_the_round_see_its_shared_data(script, isolate):
    state = script("function execute_code() return shared_data end", isolate=isolate)
    assert state.call() is None
    state.runtime.share(0, [msgpack.packb({"k": [1.5, 2]})])
    assert state.call() == {"k": [1.5, 2]}
    assert state.call(round=1) is None or not isolate
    state.runtime.share(1, [msgpack.packb("second")])
    assert state.call(round=1) == "second"
    state.runtime.unshare()
    assert state.call(round=1) is None


def test_a_global_of_the_scripts_own_is_left_alone_without_shared_data(script):
    state = script("shared_data = 3 function execute_code() return shared_data end")
    assert state.call() == 3


# -- arguments ---------------------------------------------------------------------------------


def test_named_arguments_stand_beside_the_others(script):
    state = script(
        "local first = ... function execute_code()\n"
        "  return {first, arg[0], arg.size, arg['a-b'], #arg, arg['1'] or 'none'} end",
        arg=["p.lua", "x"],
        named_arg={"size": "10", "a-b": "é"},
    )
    assert state.call() == ["x", "p.lua", "10", "é", 1, "none"]
