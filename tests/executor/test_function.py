"""What a user may call."""

from __future__ import annotations

import pytest

from midas_mp.errors import ScriptError, UsageError
from midas_mp.executor.function import SOURCE_NAME, LuaFunction, as_function, lua_function
from midas_mp.wire.messages import RETURNED


@pytest.mark.parametrize(
    "source",
    [
        "function(x) return x end",
        "  function (x) return x end",
        "-- squares\nfunction(x) return x * x end",
        "--[[ function() ]] function() end",
        "--[==[ ]] ]==]\n--\nfunction() end",
    ],
)
def test_a_function_without_a_name_is_what_its_source_returns(source):
    function = as_function(source)
    assert function.entry == RETURNED
    assert function.bundle.main == SOURCE_NAME
    assert function.bundle.source == b"return " + source.encode()


@pytest.mark.parametrize(
    "source",
    [
        "local f = 1 return function() end",
        "function named() end return named",
        "-- function() end",
        "--[[\nfunction()\n]] return nil",
        "functional()",
        "",
    ],
)
def test_other_source_is_a_chunk_as_it_is(source):
    assert as_function(source).bundle.source == source.encode()


def test_the_same_source_is_one_function():
    assert as_function("function() end") is as_function("function() end")
    assert as_function(as_function("function() end")) is as_function("function() end")


def test_source_is_shown_short_and_in_one_line():
    assert str(as_function("function(x)\n  return x\nend")) == "function(x) return x end"
    long = as_function("function() return '" + "x" * 100 + "' end")
    assert len(str(long)) == 48
    assert repr(as_function("function() end")) == "<Lua function function() end>"


@pytest.fixture
def script(tmp_path):
    (tmp_path / "lib.lua").write_text("return 1")
    path = tmp_path / "job.lua"
    path.write_text("require 'lib' function f() end")
    return path


def test_a_function_of_a_file_brings_its_modules(script):
    function = lua_function(script, "f")
    assert function == LuaFunction(function.bundle, "f")
    assert (function.name, str(function)) == ("f", "job.lua:f")
    assert dict(function.bundle.modules) == {"lib": b"return 1"}


def test_modules_may_be_named(script):
    script.with_name("other.lua").write_text("return 2")
    assert set(lua_function(script, "f", modules=["other"]).bundle.modules) == {"lib", "other"}
    with pytest.raises(UsageError, match="absent"):
        lua_function(script, "f", modules=["absent"])


@pytest.mark.parametrize("name", ["", "a.b", "function", "1x", "f()", None, "ü"])
def test_what_is_no_name_is_refused(script, name):
    with pytest.raises(UsageError, match="is not the name of a Lua function"):
        lua_function(script, name)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        lua_function(tmp_path / "absent.lua", "f")
    (tmp_path / "code.lua").write_bytes(b"\x1bLJ")
    with pytest.raises(ScriptError, match="bytecode"):
        lua_function(tmp_path / "code.lua", "f")


@pytest.mark.parametrize("given", [len, 1, None, b"function() end"])
def test_what_is_no_function_of_lua_is_refused(given):
    with pytest.raises(TypeError, match="cannot be sent: give Lua source"):
        as_function(given)
