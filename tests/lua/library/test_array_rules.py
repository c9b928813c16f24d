"""Typed arrays as a script knows them, on every engine."""

import pytest

from tests.lua.arrays import TYPES

INTEGERS = {
    "int8": (-128, 127),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**53), 2**53),
    "uint8": (0, 255),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**53),
}


@pytest.fixture
def message(task):
    """What a statement is refused with; a is an array of four int16."""

    def run(statement, payload=None):
        text = task(
            f"""local a = midas.array("int16", 4)
            local ok, message = pcall(function() {statement} end)
            return not ok and message or "ok" """,
            payload,
        )
        return text.partition(": ")[2]

    return run


@pytest.mark.parametrize("type_", TYPES)
def test_a_new_array_is_zeros_and_says_what_it_is(task, type_):
    body = f"""local a = midas.array("{type_}", 3)
    return {{ a[1], a[2], a[3], #a, a.type, a.shape, tostring(a) }}"""
    assert task(body) == [0, 0, 0, 3, type_, [3], f"{type_} array of 3"]


def test_an_array_of_several_dimensions_is_flat(task):
    body = """local a = midas.array("float64", 2, 3, 4)
    a[24] = 1.5
    return { #a, a[24], a.shape, tostring(a) }"""
    assert task(body) == [24, 1.5, [2, 3, 4], "float64 array of 2 x 3 x 4"]


def test_what_is_written_is_read(task):
    body = """local a = midas.array("float64", 100)
    for i = 1, #a do a[i] = i / 2 end
    local sum = 0
    for i = 1, #a do sum = sum + a[i] end
    return sum"""
    assert task(body) == 2525


def test_ipairs_goes_over_an_array(task):
    body = """local list = {}
    for i, x in ipairs(midas.array("int8", { 5, 6, 7 })) do list[i] = x end
    return list"""
    assert task(body) == [5, 6, 7]


def test_an_array_takes_its_values_from_a_table_or_another_array(task):
    body = """local a = midas.array("float64", { 1, 2.5, 3, 4 }, 2, 2)
    local b = midas.array("float32", a)
    return { b[2], a.shape, b.shape }"""
    assert task(body) == [2.5, [2, 2], [4]]


def test_a_copy_is_another_array(task):
    body = """local a = midas.array("int32", { 1, 2 }, 1, 2)
    local b = a:copy()
    b[1] = 9
    return { a[1], b[1], b[2], b.shape, b.type, a == b, a == a }"""
    assert task(body) == [1, 9, 2, [1, 2], "int32", False, True]


def test_the_shape_that_a_script_gets_is_its_own(task):
    body = """local a = midas.array("int8", 2, 2)
    a.shape[1] = 7
    return a.shape"""
    assert task(body) == [2, 2]


def test_no_images_may_be_large(task):
    assert task("local a = midas.array('float64', 0, 2 ^ 15, 2 ^ 15) return #a + #a.shape") == 3


def test_an_array_may_be_empty(task):
    body = """local a = midas.array("int8", 0)
    return { #a, a.shape, #a:copy(), (pcall(function() return a[1] end)) }"""
    assert task(body) == [0, [0], 0, False]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("return a[5]", "index 5 is outside of an array of length 4"),
        ("return a[0]", "index 0 is outside of an array of length 4"),
        ("return a[-1]", "index -1 is outside of an array of length 4"),
        ("a[5] = 1", "index 5 is outside of an array of length 4"),
        ("a[2 ^ 40] = 1", "index 1099511627776 is outside of an array of length 4"),
        ("return a[1 / 0]", "index inf is outside of an array of length 4"),
        ("return a[1.5]", "1.5 is no index of an array: it is not whole"),
        ("a[1.5] = 1", "1.5 is no index of an array: it is not whole"),
        ("return a[{}]", "a table is no index of an array"),
        ("return a[nil]", "a nil is no index of an array"),
        ("a[true] = 1", "a boolean is no index of an array"),
        ("return a.length", "an array has no field 'length'"),
        ("a.shape = 1", "an array has no field 'shape'"),
        ("a[1] = 'x'", "a string cannot be in an array of int16"),
        ("a[1] = nil", "a nil cannot be in an array of int16"),
        ("a[1] = 1.5", "1.5 cannot be in an array of int16: it is not whole"),
        ("a[1] = 0 / 0", "nan cannot be in an array of int16: it is not whole"),
        ("a[1] = 40000", "40000 cannot be in an array of int16: it goes from -32768 to 32767"),
    ],
)
def test_what_is_refused_and_why(message, statement, reason):
    assert message(statement).removeprefix("-") == reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "there is no array of a nil: the types are float64, float32, int8 to int64 and"),
        ("'complex', 3", "there is no array of 'complex': the types are"),
        ("'int8'", "an array has whole dimensions of 0 or more, not nil"),
        ("'int8', -1", "an array has whole dimensions of 0 or more, not -1"),
        ("'int8', 1.5", "an array has whole dimensions of 0 or more, not 1.5"),
        ("'int8', 0 / 0", "an array has whole dimensions of 0 or more, not"),
        ("'int8', 1, 1, 1, 1, 1, 1, 1, 1, 1", "an array has at most 8 dimensions"),
        ("'int8', 2 ^ 31", "an array of 2147483648 bytes is larger than 1024 MB"),
        ("'float64', 2 ^ 40, 2 ^ 40", "an array of 9671406556917033397649408 bytes is larger than"),
        ("'int8', 4294967296, 4294967296", "an array of 18446744073709551616 bytes is larger than"),
        ("'int8', 0, 2 ^ 53, 2 ^ 53", "an array of 81129638414606681695789005144064 bytes"),
        ("'int8', 2 ^ 53, 2 ^ 53, 0", "an array of 81129638414606681695789005144064 bytes"),
        ("'int8', 0, 2 ^ 1000", "an array has whole dimensions of 0 or more, not 1.07"),
        ("'int8', { 1, 2, 3 }, 2, 2", "3 values do not fill an array of 4"),
        ("'int8', { 1, 'x' }", "value 2: a string cannot be in an array of int8"),
        ("'uint8', { 1, 256 }", "value 2: 256 cannot be in an array of uint8: it goes from 0 to"),
    ],
)
def test_what_is_no_array(message, arguments, reason):
    assert message(f"midas.array({arguments})").startswith(f"midas.array: {reason}")


@pytest.mark.parametrize("type_", INTEGERS)
def test_integers_hold_their_range_and_nothing_beyond(task, type_):
    least, most = INTEGERS[type_]
    body = f"""local a = midas.array("{type_}", 2)
    a[1], a[2] = {least}, {most}
    local function refuses(x) return not pcall(function() a[1] = x end) end
    return {{ a[1], a[2], refuses({most} + 2.5), refuses({least} - 2), refuses(0.5) }}"""
    assert task(body) == [least, most, True, True, True]


def test_float32_rounds_and_what_is_too_large_is_infinite(task):
    body = """local a = midas.array("float32", { 0.1, 1e300, -1e300, 0 / 0 })
    return { a[1], a[2], a[3], a[4] ~= a[4] }"""
    assert task(body) == [0.10000000149011612, float("inf"), float("-inf"), True]


def test_an_array_is_no_table_for_pairs(message):
    assert message("for k in pairs(a) do end") != "ok"


def test_ipairs_takes_tables_as_ever(task, message):
    assert task("local n = 0 for i in ipairs({ 1, 2, nil, 4 }) do n = n + i end return n") == 3
    assert message("ipairs(nil)") == "bad argument #1 to 'ipairs' (table expected, got nil)"


@pytest.mark.parametrize("self", ["nil", "5", "{}", "'x'"])
def test_copy_is_a_method_of_arrays_only(message, self):
    assert "array expected" in message(f"a.copy({self})")
