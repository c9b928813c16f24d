import pytest

from midas_mp import limits


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'text', 0", "text"),
        ("'text'", "script.lua:2: text"),
        ("nil", "nil"),
        ("false", "false"),
        ("{message = 'told'}", "told"),
        ("{'first'}", "first"),
        ("{}", "(the error is a table value)"),
        ("print", "(the error is a function value)"),
        ("coroutine.create(print)", "(the error is a thread value)"),
        ("'a\\0b', 0", "a\0b"),
        ("'\\255', 0", "\\xff"),
    ],
)
def test_any_error_value_becomes_text(failing, value, message):
    error = failing(f"error({value})")
    assert (error.kind, error.message) == ("runtime", message)


@pytest.mark.parametrize("engine", ["luajit"])
def test_a_cdata_as_error_becomes_text(failing):
    assert failing("error(1ULL)").message == "(the error is a cdata value)"


def test_a_number_as_error_is_shown(failing):
    assert failing("error(42)").message in ("script.lua:2: 42", "42")  # as the engine does it


def test_long_texts_are_cut(failing):
    error = failing("error(('x'):rep(100000), 0)")
    assert error.message == "x" * 4093 + "..."


def test_what_is_called_last_of_all_names_no_line_of_the_library(failing):
    message = failing("return string.rep()").message
    position, _, text = message.rpartition("bad argument #1 to ")
    assert position in ("", "script.lua:2: ")
    assert text in ("'?' (string expected, got no value)", "'rep' (string expected, got no value)")


def test_frames_of_the_library_and_of_c_are_left_out(script):
    state = script(
        "function execute_code()\n"
        "  table.sort({3, 2, 1}, function(a, b)\n"
        "    local r = require('m')(a)\n"
        "    return r\n  end)\nend",
        {"m": "return function(x)\n  x()\nend"},
    )
    assert state.fail().traceback == (
        "stack traceback:\n"
        "\tm.lua:2: in function <m.lua:1>\n"
        "\tscript.lua:3: in function <script.lua:2>\n"
        "\tscript.lua:2: in function 'execute_code'"
    )


def test_the_main_chunk_is_called_so(script):
    error = script("local x = nil\nx()").fail()
    assert error.traceback == "stack traceback:\n\tscript.lua:2: in main chunk"


def test_a_deep_stack_shows_both_its_ends(script):
    state = script(
        "local function deep(n)\n  if n == 0 then error('end') end\n  return 1 + deep(n - 1)\nend\n"
        "function execute_code()\n  local r = deep(1000)\n  return r\nend"
    )
    lines = state.fail().traceback.splitlines()
    assert len(lines) == 1 + 12 + 1 + 10
    assert lines[1] == "\tscript.lua:2: in function 'deep'"
    assert lines[13] == "\t..."
    assert lines[-1] == "\tscript.lua:6: in function 'execute_code'"
    assert lines[-2] == "\tscript.lua:3: in function 'deep'"


def test_a_stack_overflow_is_an_error_like_any_other(script):
    state = script(
        "local function f() return 1 + f() end function execute_code() return f() + 1 end",
        memory_bytes=256 * limits.MB,  # the stack may grow to a million slots
    )
    error = state.fail()
    assert error.kind == "runtime"
    assert "stack overflow" in error.message
    assert not state.runtime.is_spoiled
