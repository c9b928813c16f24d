import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import ScriptError, UsageError
from midas_mp.lua.bundle import Bundle

BOM = b"\xef\xbb\xbf"
BYTECODE = b"\x1bLJ\x02"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / next(iter(files))


def modules(folder, files, extra=()):
    return list(Bundle.collect(write(folder, files), extra).modules)


def test_modules_are_found_transitively_and_sorted(tmp_path):
    script = write(
        tmp_path,
        {
            "main.lua": "require 'b'",
            "b.lua": "require('c.d')",
            "c/d/init.lua": "require[[a]]",
            "a.lua": "return 1",
            "unused.lua": "",
        },
    )
    bundle = Bundle.collect(script)
    assert bundle.main == "main.lua"
    assert bundle.source == b"require 'b'"
    assert dict(bundle.modules) == {
        "a": b"return 1",
        "b": b"require('c.d')",
        "c.d": b"require[[a]]",
    }
    assert list(bundle.modules) == ["a", "b", "c.d"]


@pytest.mark.parametrize(
    "source",
    [
        'require("m")',
        "require('m')",
        'require"m"',
        "require 'm'",
        "require[[m]]",
        "require [==[m]==]",
        "local m = require ( 'm' )",
        "x = {require 'm'}",
        "-- note\nrequire 'm'",
        "'it' require 'm'",
    ],
)
def test_each_way_to_write_a_literal_require(tmp_path, source):
    assert modules(tmp_path, {"main.lua": source, "m.lua": ""}) == ["m"]


@pytest.mark.parametrize(
    "source",
    [
        "-- require 'm'",
        "--[[ require 'm' ]]",
        "--[==[\nrequire 'm' ]] ]==]",
        "s = \"require 'm'\"",
        "s = 'require [[m]]'",
        "s = [[ require 'm' ]]",
        "my_require 'm'",
        "t.require 'm'",
        "t:require 'm'",
        "require(name)",
        "s = 'a\\' require \"m\" '",
    ],
)
def test_what_only_looks_like_a_require(tmp_path, source):
    assert modules(tmp_path, {"main.lua": source, "m.lua": ""}) == []


def test_a_file_beats_a_folder_of_the_same_name(tmp_path):
    script = write(tmp_path, {"main.lua": "require 'm'", "m.lua": "file", "m/init.lua": "folder"})
    assert Bundle.collect(script).modules["m"] == b"file"


@pytest.mark.parametrize(
    "opening",
    [b"--[[\n", b"[[\n", b"'\\", b'"\\', b"require ", b"require[[x", b"require'", b"[=" * 9],
)
def test_what_has_no_end_is_looked_at_once(tmp_path, opening):
    """Else these would take hours."""
    size = limits.MB // len(opening)
    assert modules(tmp_path, {"a.lua": opening * size, "b.lua": ""}) == []


def test_a_require_in_a_string_that_has_no_end_is_none(tmp_path):
    source = "local a = require 'b' --[[ require 'c'"
    assert modules(tmp_path, {"a.lua": source, "b.lua": "", "c.lua": ""}) == ["b"]


def test_a_missing_literal_require_is_no_error(tmp_path):
    assert modules(tmp_path, {"main.lua": "require 'absent' require 'math'"}) == []


def test_circles_end(tmp_path):
    assert modules(
        tmp_path, {"main.lua": "require 'a'", "a.lua": "require 'b'", "b.lua": "require 'a'"}
    ) == ["a", "b"]


@pytest.mark.parametrize(
    "name", ["../secret", "..secret", "/etc/x", "a/b", "a..b", ".a", "a.", "", "a\\b"]
)
def test_names_that_leave_the_folder_are_never_read(tmp_path, name):
    write(tmp_path, {"secret.lua": "", "a/b.lua": ""})
    quoted = name.replace("\\", "\\\\")
    inner = tmp_path / "inner"
    assert modules(inner, {"main.lua": f"require '{quoted}'", "a/b.lua": ""}) == []
    with pytest.raises(UsageError):
        Bundle.collect(inner / "main.lua", [name])


def test_extra_modules_are_taken_with_what_they_require(tmp_path):
    files = {"main.lua": "require(n)", "x.lua": "require 'y'", "y.lua": ""}
    assert modules(tmp_path, files, ["x"]) == ["x", "y"]


def test_a_missing_extra_module_is_wrong_usage(tmp_path):
    script = write(tmp_path, {"main.lua": ""})
    with pytest.raises(UsageError) as caught:
        Bundle.collect(script, ["absent"])
    assert str(caught.value) == "the module 'absent' is not beside main.lua"


def test_files_that_cannot_be_read_are_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        Bundle.collect(tmp_path / "absent.lua")
    with pytest.raises(UsageError, match="is a folder"):
        Bundle.collect(tmp_path)
    with pytest.raises(UsageError, match="cannot read"):
        Bundle.collect("a\0b")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "job.lua")
    with pytest.raises(UsageError, match=r"job\.lua is a pipe or a device"):
        Bundle.collect(tmp_path / "job.lua")


def test_too_large_and_too_many_are_wrong_usage(tmp_path):
    script = write(tmp_path, {"main.lua": b" " * (limits.SCRIPT_BYTES_MAX + 1)})
    with pytest.raises(UsageError, match="larger than 16 MB"):
        Bundle.collect(script)
    with pytest.raises(UsageError, match="larger than 16 MB"):
        Bundle.from_sources("m", [], [b" " * (limits.SCRIPT_BYTES_MAX + 1)])
    names = [f"m{i}" for i in range(limits.BUNDLE_FILES_MAX + 1)]
    with pytest.raises(UsageError, match="257 modules"):
        Bundle.from_sources("m", names, [b""] * (len(names) + 1))


@pytest.mark.parametrize(
    "source",
    [
        BYTECODE,
        BOM + BYTECODE,
        b"#!/usr/bin/lua\n" + BYTECODE,
        BOM + b"# x\n" + BYTECODE,
        b"#\r\n" + BYTECODE,
        BOM + b"#!x\r" + BYTECODE,
    ],
)
def test_bytecode_is_refused_on_both_sides(tmp_path, source):
    for make in (
        lambda: Bundle.collect(write(tmp_path, {"main.lua": source})),
        lambda: Bundle.collect(write(tmp_path, {"main.lua": "require 'm'", "m.lua": source})),
        lambda: Bundle.from_sources("main.lua", [], [source]),
        lambda: Bundle.from_sources("main.lua", ["m"], [b"", source]),
    ):
        with pytest.raises(ScriptError, match="is Lua bytecode; only Lua source is run") as caught:
            make()
        assert caught.value.kind == "syntax"


def test_first_lines_are_neutralised_and_line_numbers_stay():
    bundle = Bundle.from_sources("m", [], [BOM + b"#!/usr/bin/env lua\nreturn 1\n"])
    assert bundle.source == b"--#!/usr/bin/env lua\nreturn 1\n"


def test_what_was_collected_is_the_same_when_it_arrives(tmp_path):
    script = write(tmp_path, {"main.lua": BOM + b"#!x\nrequire 'a.b'", "a/b.lua": b"# y\nreturn 2"})
    sent = Bundle.collect(script)
    arrived = Bundle.from_sources(
        sent.main, list(sent.modules), [sent.source, *sent.modules.values()]
    )
    assert arrived == sent


@pytest.mark.parametrize(
    ("names", "sources"),
    [
        ([], []),
        (["a"], [b""]),
        (["a", "a"], [b"", b"", b""]),
        (["../a"], [b"", b""]),
        (["a" * 257], [b"", b""]),
    ],
)
def test_names_that_do_not_fit_are_refused(names, sources):
    with pytest.raises(UsageError):
        Bundle.from_sources("main.lua", names, sources)


contents = st.tuples(
    st.sampled_from(["m", "n"]),
    st.binary(max_size=4).filter(lambda b: not b.startswith((b"\x1b", b"#", b"\xef"))),
    st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.sampled_from([b"", b"a", b"ab"])),
)


@given(contents, contents)
def test_digests_are_equal_exactly_when_bundles_are(one, other):
    def digest(main, source, found):
        return Bundle.from_sources(main, list(found), [source, *found.values()]).digest

    assert (digest(*one) == digest(*other)) == (one == other)
    assert len(digest(*one)) == hashlib.sha256().digest_size * 2


def test_reading_bundles_and_output_needs_no_lua():
    code = "import sys, midas_mp.lua.bundle, midas_mp.lua.output; sys.exit('lupa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_module_name_that_is_none_is_not_told_at_length(tmp_path):
    script = tmp_path / "a.lua"
    script.write_text("")
    with pytest.raises(UsageError, match=r"is not the name of a Lua module") as caught:
        Bundle.collect(script, ["a." * 10**6])
    assert len(str(caught.value)) < 300
