import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROUND_TRIP = """
function execute_code()
  local s, codes, starts = global_data, {}, {}
  for i, c in utf8.codes(s) do codes[#codes + 1], starts[#starts + 1] = c, i end
  local parts = {}
  for i, c in ipairs(codes) do parts[i] = utf8.char(c) end
  local offsets = {}
  for i = 1, #codes do offsets[i] = utf8.offset(s, i) end
  local matched = 0
  for _ in s:gmatch(utf8.charpattern) do matched = matched + 1 end
  local all = {utf8.codepoint(s, 1, -1)}
  return {codes, starts, table.concat(parts), utf8.len(s), all, offsets, matched}
end
"""


def test_text_goes_round(script):
    state = script(ROUND_TRIP)

    @given(st.text())
    def check(text):
        codes = [ord(c) for c in text]
        starts = [len(text[:i].encode()) + 1 for i in range(len(text))]
        assert state.call(payload=text) == [
            codes,
            starts,
            text,
            len(text),
            codes,
            starts,
            len(text),
        ]

    check()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("utf8.char()", ""),
        ("utf8.char(72, 228, 8364, 0x1F600)", "Hä€😀"),
        ("{utf8.len('a\\xffb')}", {1: None, 2: 2}),
        ("{utf8.len('\\xed\\xa0\\x80')}", {1: None, 2: 1}),
        ("utf8.len('\\xed\\xa0\\x80', 1, -1, true)", 1),
        ("utf8.len('\\xc0\\x80') == nil", True),
        ("utf8.len('äöü', 3)", 2),
        ("utf8.len('', 1)", 0),
        ("utf8.codepoint('äö', -2)", 246),
        ("utf8.offset('äöü', -1)", 5),
        ("utf8.offset('äöü', 0, 4)", 3),
        ("utf8.offset('äöü', 5) == nil", True),
        ("utf8.offset('abc', 4)", 4),
        ("utf8.offset('äöü', 2, 3)", 5),
    ],
)
def test_lua_5_4_s_answers(task, expression, expected):
    found = task(f"return {expression}")
    if isinstance(expected, dict):
        expected = {k: v for k, v in expected.items() if v is not None}
    assert found == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("for _ in utf8.codes('a\\xff') do end", "invalid UTF-8 code"),
        ("utf8.codepoint('\\xff')", "invalid UTF-8 code"),
        ("utf8.codepoint('a', 2)", r"bad argument (#\d )?to 'codepoint' \(out of bounds\)"),
        ("utf8.char(-1)", r"bad argument (#\d )?to 'char' \(value out of range\)"),
        ("utf8.char(2^31)", r"bad argument (#\d )?to 'char' \(value out of range\)"),
        ("utf8.offset('ä', 1, 2)", "initial position is a continuation byte"),
    ],
)
def test_what_is_no_text_is_refused_where_it_is_called(failing, call, message):
    assert re.fullmatch("script.lua:2: " + message, failing(call).message)
