"""The script contract, a sentence at a time: one small script each, on every engine, on this
machine and over a host with two participants.

A script begins with the sentence that it is about, and says what comes of it:

    --! run: OPTIONS     besides --workers 2 (or the host's address) and --lua
    --! engines: …       where it is about some only
    --! out: LINE        a line on stdout; \\xNN is a byte
    --! err: TEXT        somewhere on stderr
    --! err-count: N TEXT    so many times on stderr
    --! exit: CODE       0 where nothing is said
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from midas_mp.lua.engines import ENGINES

SCRIPTS = Path(__file__).parent / "scripts"


class Expected(NamedTuple):
    """What a script says of itself."""

    sentence: str
    options: list[str]
    engines: list[str]
    out: bytes
    err: list[str]
    err_counts: list[tuple[int, str]]
    code: int

    @classmethod
    def of(cls, script: Path) -> Expected:
        text = script.read_text(encoding="utf-8")
        head = text[: re.search(r"^(?!--)", text, re.MULTILINE).start()]
        said: dict[str, list[str]] = {}
        for key, value in re.findall(r"^--! ([\w-]+): ?(.*)$", head, re.MULTILINE):
            said.setdefault(key, []).append(value)
        assert said.keys() <= {"run", "engines", "out", "err", "err-count", "exit"}, script.name
        counts = [value.split(" ", 1) for value in said.get("err-count", [])]
        return cls(
            sentence=" ".join(re.findall(r"^-- (.*)$", head, re.MULTILINE)),
            options=shlex.split(" ".join(said.get("run", []))),
            engines=" ".join(said.get("engines", [" ".join(ENGINES)])).split(),
            out=b"".join(_bytes(line) + b"\n" for line in said.get("out", [])),
            err=said.get("err", []),
            err_counts=[(int(number), text) for number, text in counts],
            code=int(said.get("exit", ["0"])[0]),
        )


def _bytes(line: str) -> bytes:
    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)])

    return re.sub(rb"\\x([0-9a-f]{2})", byte, line.encode())


CASES = [
    pytest.param(script, engine, id=f"{script.stem}-{engine}")
    for script in sorted(SCRIPTS.glob("*.lua"))
    for engine in Expected.of(script).engines
]


@pytest.fixture(params=["local", "tcp"])
def place(request) -> list[str]:
    """The options that say where it runs."""
    if request.param == "local":
        return ["--workers", "2"]
    return ["--address", request.getfixturevalue("standing_host")]


@pytest.mark.parametrize(("script", "engine"), CASES)
def test_the_contract_holds(midas, script, engine, place):
    expected = Expected.of(script)
    run, dashes, words = _parted(expected.options)
    ended = midas(
        *("run", script, *place, "--lua", engine.removeprefix("lua").replace("jit", "luajit")),
        *(*run, *dashes, *words),
    )
    assert (ended.out.encode("utf-8", "surrogateescape"), ended.code) == (
        expected.out,
        expected.code,
    ), ended.err
    for text in expected.err:
        assert text in ended.err
    for number, text in expected.err_counts:
        assert ended.err.count(text) == number
    assert "Traceback (most recent call last)" not in ended.err


def _parted(options: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Options, and the script's own words behind two dashes."""
    end = options.index("--") if "--" in options else len(options)
    return options[:end], options[end : end + 1], options[end + 1 :]


def test_every_script_says_what_it_is_about():
    for script in SCRIPTS.glob("*.lua"):
        expected = Expected.of(script)
        assert expected.sentence.endswith("."), script.name
        assert expected.out or expected.err or script.stem == "answer_nil", script.name
