"""The examples do what they say, whoever runs them."""

from __future__ import annotations

import collections
import math
import os
import re
import signal
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SOURCES = sorted(Path(os.__file__).parent.glob("*.py"))
"""Of Python's own library: real text, and enough of it."""

NUMBERS = [2, 3, 4, 9, 97, 7919, 7920, 65537, 4294967291, 4294967297, 1000003 * 1000033]


def least_divisor(number):
    for divisor in range(2, math.isqrt(number) + 1):
        if number % divisor == 0:
            return divisor
    return None


def counted(paths):
    """The answer of word_count.lua, made in Python."""
    words = re.findall(rb"[A-Za-z0-9_]+", b"\n".join(path.read_bytes() for path in paths))
    counts = collections.Counter(word.decode().lower() for word in words)
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    lines = [f"{len(counts)} different words", *(f"{count:8} {word}" for word, count in top)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def cluster(start):
    """A host with three workers on two nodes; where it is."""
    where = start("host", "--address", "127.0.0.1:0").address()
    for name, workers in (("one", "1"), ("two", "2")):
        node = start("participant", "--address", where, "--name", name, "--workers", workers)
        node.wait_for("joined")
    return where


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.lua")), ids=lambda path: path.name)
def test_examples_are_short_and_tested(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 70
    assert example.name in Path(__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("tasks", ["1", "7"])
def test_primes_are_those_that_python_finds(midas, tasks):
    ended = midas("run", EXAMPLES / "primes.lua", "--tasks", tasks, "--", *map(str, NUMBERS))
    assert (ended.code, ended.err) == (0, "")
    expected = [
        f"{number:15}  " + (f"divisible by {divisor}" if divisor else "prime")
        for number, divisor in ((n, least_divisor(n)) for n in NUMBERS)
    ]
    assert ended.out.splitlines() == expected


def test_primes_of_its_own_choice(midas):
    ended = midas("run", EXAMPLES / "primes.lua")
    assert ended.code == 0
    assert "281474976710597  prime\n" in ended.out
    assert "281474876047369  divisible by 16777213\n" in ended.out


@pytest.mark.parametrize("word", ["1", "1.5", "2e15", "x", "nan"])
def test_primes_refuses_what_is_no_number_of_its_kind(midas, word):
    ended = midas("run", EXAMPLES / "primes.lua", "--", word)
    assert (ended.code, ended.out) == (1, "")
    assert f"{word} is not a whole number from 2 to 2^48" in ended.err


def test_pi_is_the_same_wherever_it_is_computed(midas, cluster):
    def pi(*options):
        ended = midas("run", EXAMPLES / "pi.lua", *options, "--", "1e6")
        assert ended.code == 0
        return ended.out

    answers = {pi("--workers", count) for count in "123"} | {pi("--address", cluster)}
    assert len(answers) == 1
    assert pi("--seed", "7", "--workers", "1") not in answers
    value, deviation, points = re.fullmatch(
        r"pi = (\S+) \+- (\S+) \((\d+) points\)\n", answers.pop()
    ).groups()
    assert abs(float(value) - math.pi) < 5 * float(deviation) < 0.02
    assert points == "1000000"


def test_words_are_counted_as_python_counts_them(midas):
    expected = counted(SOURCES)
    for workers in "12":
        ended = midas("run", EXAMPLES / "word_count.lua", "--workers", workers, "--", *SOURCES)
        assert ended == (0, expected, "")


def test_words_of_files_with_few_and_of_none(midas, tmp_path):
    texts = ["", "one", "one\nTwo two_3 übrig", "-" * 100]
    paths = [tmp_path / f"{i}.txt" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    ended = midas("run", EXAMPLES / "word_count.lua", "--tasks", "50", "--", *paths)
    assert ended == (0, counted(paths), "")


def test_words_need_files_that_exist(midas):
    ended = midas("run", EXAMPLES / "word_count.lua")
    assert (ended.code, ended.out) == (1, "")
    assert "name the files to count after --" in ended.err
    ended = midas("run", EXAMPLES / "word_count.lua", "--", "nowhere.txt")
    assert (ended.code, ended.out) == (1, "")
    assert "nowhere.txt: No such file or directory" in ended.err


def test_words_are_counted_by_participants_that_come_and_go(start):
    """They come when the host is there; one is killed as soon as the work has begun."""
    run = start(
        *("host", EXAMPLES / "word_count.lua", "--address", "127.0.0.1:0"),
        *("--tasks", "200", "--workers-min", "3", "--", *SOURCES),
    )
    where = run.address()
    nodes = [
        start("participant", "--address", where, "--name", name, "--workers", "1")
        for name in ("first", "second", "doomed")
    ]
    run.wait_for("started on 3 workers")
    nodes[2].send(signal.SIGKILL)
    ended = run.wait()
    assert (ended.code, ended.out) == (0, counted(SOURCES))
    for node in nodes[:2]:
        node.wait_for(r"is gone \(the script is done\)")
        assert node.process.poll() is None
