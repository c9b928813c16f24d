"""Text of scripts that a terminal may safely show."""

from __future__ import annotations

import pytest

from midas_mp.client.printable import printable, printable_line


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


def test_one_line_stays_one():
    assert printable_line("all is well\nmidas: \x1b[1mjoined\r\n") == (
        "all is well\\nmidas: \\x1b[1mjoined\\r\\n"
    )
