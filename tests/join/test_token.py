from __future__ import annotations

import pytest

from midas_mp.errors import UsageError
from midas_mp.join.token import JoinToken

TOKEN = JoinToken(bytes(range(32)), bytes(range(100, 132)))


def test_a_token_is_one_word_that_needs_no_quotes():
    assert TOKEN.text.startswith("midas1.")
    assert set(TOKEN.text) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )
    assert len(TOKEN.text) < 110


@pytest.mark.parametrize("around", ["", "\n", "  \r\n"])
def test_it_is_read_back(around):
    assert JoinToken.parse(around + TOKEN.text + around) == TOKEN


def test_it_does_not_show_its_secret():
    assert repr(TOKEN.secret) not in repr(TOKEN)


@pytest.mark.parametrize("text", ["", "hello", "midas2.abc", TOKEN.text[1:]])
def test_something_else_is_no_token(text):
    with pytest.raises(UsageError, match="one begins with midas1"):
        JoinToken.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "midas1.",
        TOKEN.text[:-1],
        TOKEN.text + "A",
        TOKEN.text[:30] + " " + TOKEN.text[30:],
        TOKEN.text[:30] + "é" + TOKEN.text[31:],
        TOKEN.text[:30] + ("A" if TOKEN.text[30] != "A" else "B") + TOKEN.text[31:],
    ],
)
def test_a_damaged_one_is_told_and_not_shown(text):
    with pytest.raises(UsageError, match="copy the whole of it") as caught:
        JoinToken.parse(text)
    assert text[10:20] not in str(caught.value) or len(text) < 20
