"""Text of scripts that a terminal may safely show."""

from __future__ import annotations

import pytest

from midas_mp.client.printable import printable, printable_in_colour, printable_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer\tals\nzwei", "größer\tals\nzwei"),
        ("\x1b[31mred\x07\r\x00", "\\x1b[31mred\\x07\\r\\x00"),
        (b"\xff\xc3\xa9\x9b", "\\xffé\\x9b"),
        ("\x7f\x85\u202eright to left\u2066", "\\x7f\\x85\\u202eright to left\\u2066"),
    ],
)
def test_nothing_that_a_script_prints_is_obeyed(text, shown):
    assert printable(text) == shown


def test_colours_may_stay_and_nothing_else():
    text = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b[2J\x1b[m"
    assert printable_in_colour(text) == "\x1b[1;31mred\x1b[0m \\x1b]0;title\\x07\\x1b[2J\x1b[m"
    assert printable_in_colour(b"\xff\x1b[7m") == "\\xff\x1b[7m"


def test_one_line_stays_one():
    assert printable_line("all is well\nmidas: \x1b[1mjoined\r\n") == (
        "all is well\\nmidas: \\x1b[1mjoined\\r\\n"
    )
