"""Which line of source an error message points at."""

import pytest

from midas_mp.driver.excerpt import EXCERPT_LENGTH_MAX, source_line
from midas_mp.lua.bundle import Bundle

LONG = b"return '" + b"x" * 500 + b"'"
BUNDLE = Bundle.from_sources(
    "job.lua",
    ["lib.deep", "long"],
    [b"first\n  second  \n\nfourth \xff", b"one\ntwo", LONG],
)


@pytest.mark.parametrize(
    ("message", "excerpt"),
    [
        ("job.lua:2: attempt to call a nil value", "2 | second"),
        ("job.lua:4: binary", "4 | fourth \N{REPLACEMENT CHARACTER}"),
        ("lib/deep.lua:2: in a module", "2 | two"),
        ("job.lua:3: on an empty line", None),
        ("job.lua:99: beyond the end", None),
        ("job.lua:0: before the start", None),
        ("other.lua:1: of another file", None),
        ("deep:1: of what is no file", None),
        ("no position at all", None),
        ("said by job.lua:1: later in the text", None),
        ("", None),
    ],
)
def test_the_line_is_found_or_nothing_is_shown(message: str, excerpt: str | None) -> None:
    assert source_line(BUNDLE, message) == excerpt


def test_a_long_line_is_cut() -> None:
    excerpt = source_line(BUNDLE, "long.lua:1: too long")
    assert excerpt is not None
    assert excerpt.endswith("x…")
    assert len(excerpt) == len("1 | ") + EXCERPT_LENGTH_MAX
