from hypothesis import given, settings
from hypothesis import strategies as st

WORD = 2**32
words = st.integers(-WORD, 2 * WORD)
shifts = st.integers(-40, 40)

OPERATIONS = """
function execute_code()
  local x, y, by = global_data[1], global_data[2], global_data[3]
  local b = bit32
  return { b.band(x, y), b.bor(x, y), b.bxor(x, y), b.bnot(x), b.btest(x, y), b.lshift(x, by),
    b.rshift(x, by), b.arshift(x, by), b.lrotate(x, by), b.rrotate(x, by), b.band(), b.bor() }
end
"""


def shift(x, by):
    return (x << by) % WORD if by >= 0 else x >> -by


def rotate(x, by):
    by %= 32
    return (x << by | x >> (32 - by)) % WORD


def test_operations_are_those_of_lua_5_2(script):
    state = script(OPERATIONS)

    @settings(max_examples=200)
    @given(words, words, shifts)
    def check(x, y, by):
        a, b = x % WORD, y % WORD
        signed = a - WORD if a >= WORD // 2 else a
        arithmetic = signed >> by if by >= 0 else (a << -by)
        assert state.call(payload=[x, y, by]) == [
            a & b,
            a | b,
            a ^ b,
            a ^ (WORD - 1),
            a & b != 0,
            shift(a, by),
            shift(a, -by),
            arithmetic % WORD,
            rotate(a, by),
            rotate(a, -by),
            WORD - 1,
            0,
        ]

    check()


def test_fields_are_extracted_and_replaced(task):
    assert task(
        "local b = bit32 return {b.extract(0xabcd1234, 8, 8), b.extract(0xabcd1234, 31), "
        "b.extract(0xffffffff, 0, 32), b.replace(0, 0xff, 4, 4), b.replace(0xffffffff, 0, 0, 32)}"
    ) == [0x12, 1, 0xFFFFFFFF, 0xF0, 0]


def test_fields_beyond_the_word_are_refused(failing):
    assert failing("bit32.extract(1, 30, 4)").message == (
        "script.lua:2: trying to access non-existent bits"
    )
    assert failing("bit32.extract(1, -1)").message == "script.lua:2: field cannot be negative"
    assert failing("bit32.replace(1, 1, 1, 0)").message == "script.lua:2: width must be positive"
