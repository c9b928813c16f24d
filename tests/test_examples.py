"""The examples do what they say, whoever runs them."""

from __future__ import annotations

import collections
import hashlib
import itertools
import math
import os
import re
import signal
import struct
import sys
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


PROGRAMS = sorted([*EXAMPLES.glob("*.lua"), *EXAMPLES.glob("*.py")])


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda path: path.name)
def test_examples_are_short_and_tested(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 90
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


def clusters(points, k):
    """The answer of kmeans.lua: Lloyd's algorithm from the same centres, made in Python."""
    centres = [points[math.floor((i + 0.5) * len(points) / k)] for i in range(k)]
    rounds, moved = 0, math.inf
    while moved > 1e-9:
        groups = [[] for _ in centres]
        for point in points:
            groups[min(range(k), key=lambda i: math.dist(point, centres[i]) ** 2)].append(point)
        means = [
            [sum(column) / len(group) for column in zip(*group, strict=True)] if group else centre
            for group, centre in zip(groups, centres, strict=True)
        ]
        moved = max(math.dist(a, b) for a, b in zip(means, centres, strict=True))
        centres, rounds = means, rounds + 1
    return rounds, [(len(group), centre) for group, centre in zip(groups, means, strict=True)]


def told_clusters(text):
    first, *lines = text.splitlines()
    numbers = [[float(word) for word in re.findall(r"-?\d+\.?\d*", line)] for line in lines]
    return int(first.removesuffix(" rounds")), [(row[0], row[1:]) for row in numbers]


@pytest.mark.parametrize("k", ["1", "3", "7"])
def test_clusters_are_those_that_python_finds(midas, cluster, tmp_path, k):
    """From a working directory where the data is not."""
    rows = (EXAMPLES / "kmeans.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 150
    rounds, expected = clusters([[float(x) for x in row.split(",")] for row in rows], int(k))
    for options in (["--workers", "2"], ["--address", cluster]):
        ended = midas("run", EXAMPLES / "kmeans.lua", *options, "--", k, cwd=tmp_path)
        assert ended.code == 0
        told_rounds, told = told_clusters(ended.out)
        assert told_rounds == rounds
        assert [size for size, _ in told] == [size for size, _ in expected]
        for (_, centre), (_, other) in zip(told, expected, strict=True):
            assert centre == pytest.approx(other, abs=1e-4)


def test_clusters_of_a_file_of_ones_own(midas, tmp_path):
    (tmp_path / "mine.csv").write_text("0,0\n0,1\n10,10\n10,11\n")
    ended = midas("run", EXAMPLES / "kmeans.lua", "--", "2", "mine.csv")
    answer = "   2 points around (0.0000, 0.5000)\n   2 points around (10.0000, 10.5000)\n"
    assert (ended.code, ended.out) == (0, "2 rounds\n" + answer)


@pytest.mark.parametrize(("n", "ways"), [(2, 0), (4, 2), (6, 4), (8, 92), (10, 724)])
def test_queens_stand_in_as_many_ways_as_is_known(midas, n, ways):
    """OEIS A000170."""
    ended = midas("run", EXAMPLES / "queens.lua", "--", str(n))
    assert (ended.code, ended.out) == (0, f"{n} queens can stand in {ways} ways\n")


@pytest.mark.parametrize(("text", "zeros"), [("midas ", 3), ("", 0), ("x" * 200, 2)])
def test_the_hash_found_is_the_first_and_pythons(midas, text, zeros):
    ended = midas("run", EXAMPLES / "hash_search.lua", "--", text, str(zeros))
    hashes = ((n, hashlib.sha256(f"{text}{n}".encode()).hexdigest()) for n in itertools.count())
    number, digest = next(found for found in hashes if found[1].startswith("0" * zeros))
    assert (ended.code, ended.out) == (0, f"{text}{number}\n{digest}\n")


def escape_steps(x, y):
    z = 0j
    for step in range(1, 501):
        if abs(z) > 2:
            return step
        z = z * z + complex(x, y)
    return None


def test_the_picture_shows_the_mandelbrot_set(midas, tmp_path):
    width, height = 61, 43
    ended = midas("run", EXAMPLES / "mandelbrot.lua", "--", str(width), str(height))
    assert (ended.code, ended.out) == (0, f"mandelbrot.bmp: {width} x {height} points\n")
    data = (tmp_path / "mandelbrot.bmp").read_bytes()
    magic, size, start, width_said, height_said = struct.unpack_from("<2sI4xI4xII", data)
    assert (magic, size, width_said, height_said) == (b"BM", len(data), width, height)
    line_bytes = -(-width * 3 // 4) * 4
    assert len(data) == start + height * line_bytes
    for row, column in itertools.product(range(0, height, 5), range(0, width, 5)):
        scale = 2.4 / height
        steps = escape_steps(-0.6 + (column + 0.5 - width / 2) * scale, -1.2 + (row + 0.5) * scale)
        at = start + row * line_bytes + column * 3
        assert (data[at : at + 3] == bytes(3)) == (steps is None)


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


# -- in Python -------------------------------------------------------------------------------------


def exponent(r, steps):
    """Of the logistic map, by Lyapunov."""
    x, total = 0.4, 0.0
    for _ in range(steps):
        total += math.log(abs(r * (1 - 2 * x)))
        x = r * x * (1 - x)
    return total / steps


def test_the_sweep_finds_chaos_where_python_does(start):
    count, steps = 40, 500
    ended = start("sweep.py", str(count), str(steps), command=[sys.executable], cwd=EXAMPLES).wait()
    exponents = [exponent(3.4 + 0.6 * i / (count - 1), steps) for i in range(count)]
    chaotic = sum(each > 0 for each in exponents) / count
    assert ended.out.splitlines() == [
        f"chaotic at {chaotic:.1%} of {count} values of r from 3.4 to 4",
        f"most of all at r = 4.0000: exponent {exponents[-1]:.4f}",
    ]
    assert (ended.code, ended.err) == (0, "")
