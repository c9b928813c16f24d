import pytest

DEEP = "(function() local t = {} for _ = 1, 70 do t = {t} end return t end)()"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{a = {b = print}}", ".a.b: cannot send a function"),
        (
            "{{}, {[2.5] = io.stdout, [1] = 1}, coroutine.create(print)}",
            "[3]: cannot send a coroutine",
        ),
        ("{['odd key'] = print}", '["odd key"]: cannot send a function'),
        ("{['a\"\\n\\\\'] = print}", '["a\\034\\010\\092"]: cannot send a function'),
        ("{[2.5] = print}", "[2.5]: cannot send a function"),
        ("{x = {[true] = 1}}", ".x: cannot send a table with a boolean key"),
        ("{[{}] = 1}", "cannot send a table with a table key"),
        (
            "(function() local t = {} t.me = {t} return t end)()",
            ".me[1]: cannot send a table that contains itself",
        ),
        (DEEP, "[1]" * 64 + ": nested deeper than 64 tables"),
        ("{[('k'):rep(100)] = print}", "." + "k" * 60 + "...: cannot send a function"),
    ],
)
def test_the_path_leads_to_what_cannot_be_sent(failing, value, problem):
    error = failing(f"return {value}")
    assert error.kind == "unsendable"
    assert error.message == f"execute_code() result: {problem}"


@pytest.mark.parametrize("engine", ["luajit"])
def test_a_cdata_is_named(failing):
    assert failing("return {y = 5ULL}").message == "execute_code() result: .y: cannot send a cdata"


def test_a_table_seen_twice_is_no_circle(task):
    assert task("local t = {1} return {t, t}") == [[1], [1]]


def test_depth_64_can_be_sent(task):
    value = task("local t = 1 for _ = 1, 64 do t = {t} end return t")
    for _ in range(64):
        value = value[0]
    assert value == 1
