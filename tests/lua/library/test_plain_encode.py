"""What is particular to engines with integers and floats."""

import math
import struct

import pytest

from midas_mp.lua.engines import ENGINES

pytestmark = pytest.mark.parametrize("engine", [e for e in ENGINES if e != "luajit"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3),
        ("3.0", 3.0),
        ("2^53", 2.0**53),
        ("1 // 1", 1),
        ("1 / 1", 1.0),
        ("-0.0", -0.0),
        ("1/0", math.inf),
        ("-1/0", -math.inf),
        ("1 << 53", 2**53),
        ("-(1 << 53)", -(2**53)),
        ("1e300", 1e300),
    ],
)
def test_numbers_go_by_subtype(task, value, expected):
    found = task(f"return {{{value}}}")[0]
    assert (type(found), struct.pack(">d", found)) == (type(expected), struct.pack(">d", expected))


def test_nan_is_a_float(task):
    assert math.isnan(task("return {0/0}")[0])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{a = {1, math.maxinteger}}", ".a[2]: cannot send an integer beyond 2^53"),
        ("{a = {1, math.mininteger}}", ".a[2]: cannot send an integer beyond 2^53"),
        ("(1 << 53) + 1", "cannot send an integer beyond 2^53"),
        ("-(1 << 53) - 1", "cannot send an integer beyond 2^53"),
        ("{b = {[1 << 60] = 1}}", ".b: cannot send a table with an integer key beyond 2^53"),
        (
            "{[0] = 0/0, x = {[2^60] = 1}}",
            ".x: cannot send a table with an integer key beyond 2^53",
        ),
    ],
)
def test_integers_beyond_the_exact_ones_are_refused_with_their_path(failing, value, problem):
    error = failing(f"return {value}")
    assert (error.kind, error.message) == ("unsendable", f"execute_code() result: {problem}")


@pytest.mark.parametrize("count", [7, 8, 9, 16, 1000, 5000])
def test_arrays_of_floats_with_something_else_in_between(task, count):
    found = task(f"local t = {{}} for i = 1, {count} do t[i] = i / 2 end t[3] = 7 return t")
    assert found == [7 if i == 3 else i / 2 for i in range(1, count + 1)]
    assert type(found[2]) is int
    assert type(found[1]) is float


def test_many_pieces_are_joined_in_order(task):
    rows = task("local t = {} for i = 1, 20000 do t[i] = {k = i, s = 's' .. i} end return t")
    assert rows == [{"k": i, "s": f"s{i}"} for i in range(1, 20_001)]


def test_more_keys_than_are_remembered(task):
    rows = task("local t = {} for i = 1, 3000 do t[i] = {['k' .. i] = i} end return t")
    assert rows == [{f"k{i}": i} for i in range(1, 3001)]


def test_a_list_with_a_metatable_is_read_raw(task):
    assert task(
        "local function no() error('ran') end\n"
        "return setmetatable({1.5, 2.5}, {__index = no, __len = no, __pairs = no, __eq = no})"
    ) == [1.5, 2.5]


def test_what_was_sent_is_not_kept(script):
    state = script(
        "function execute_code() return {('x'):rep(2^20 * 10), midas.index == 0 and print or 1} end"
    )
    for index in range(2):
        if index == 0:
            state.fail(index=0)
        else:
            state.call(index=1)
        state.runtime.unshare()  # collects
        assert state.runtime._memory.used_bytes < 2**20
