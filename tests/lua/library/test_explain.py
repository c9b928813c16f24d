import msgpack
import pytest

from midas_mp import limits

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


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [64, 65])
def test_what_a_call_takes_and_returns_may_be_as_deep_as_the_results_of_others(script, depth):
    """Arguments, and results of a batch, travel in an array that does not count."""
    source = script("return function(x) return x end")
    (result,), error = source.call_batch_buffers(1, nested(1), nested(depth), nested(2))
    results = msgpack.unpackb(result)
    if depth == 64:
        assert results == [nested(1), nested(64), nested(2)]
        assert error is None
    else:
        assert results == [nested(1)]
        assert (error.kind, error.message) == ("unsendable", "arguments: nested deeper than 64")


def test_in_a_batch_a_result_may_be_as_deep_as_alone(script):
    source = script("return function(n) local t = 1 for _ = 1, n do t = {t} end return t end")
    (result,), error = source.call_batch_buffers(1, 64, 65)
    assert msgpack.unpackb(result) == [nested(64)]
    assert error.message == "result: " + "[1]" * 64 + ": nested deeper than 64 tables"


TOO_LARGE = "larger than the 1 MB that one may have: it takes"


@pytest.fixture
def small(monkeypatch):
    """Results may have a megabyte."""
    monkeypatch.setattr(limits, "PAYLOAD_BYTES_MAX", limits.MB)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("('x'):rep(2 ^ 20 + 1)", "2"),
        ("{('x'):rep(2 ^ 20), {key = ('y'):rep(2 ^ 21)}}", "4"),
        ("{midas.array('int8', 2 ^ 20), midas.array('int8', 2 ^ 20)}", "3"),
        ("(function() local t = {} for i = 1, 2e5 do t[i] = i + 0.5 end return t end)()", "2"),
        ("(function() local t = {} for i = 1, 5e5 do t[i] = -40000 - i end return t end)()", "3"),
        ("(function() local t = {} for i = 1, 2e5 do t['k' .. i] = i end return t end)()", "3"),
    ],
)
def test_what_is_too_large_is_told_with_the_limit_and_its_size(small, failing, value, size):
    error = failing(f"return {value}")
    assert error.kind == "unsendable"
    assert (
        error.message
        == f"execute_code() result: larger than the 1 MB that one may have: it takes {size} MB"
    )


def test_a_table_that_is_in_more_places_than_can_be_walked_is_told_at_once(small, failing):
    doubled = "local t = {('x'):rep(1000)} for _ = 1, 60 do t = {t, t} end"
    assert (
        "larger than the 1 MB that one may have: it takes 1"
        in failing(f"{doubled} return t").message
    )
    error = failing(f"{doubled} return {{t, print}}")
    assert error.message == "execute_code() result: [2]: cannot send a function"
    error = failing(f"{doubled} for _ = 1, 5 do t = {{t}} end return t")
    assert "nested deeper than 64 tables" in error.message


def test_results_of_a_batch_are_too_large_together(small, script):
    source = script("return function(n) return ('x'):rep(n) end", memory_bytes=64 * limits.MB)
    results, error = source.call_batch_buffers(1, 600_000, 600_000)
    assert error.message == "result: larger than 1 MB, with the results before it"
    assert error.item == 1
    assert len(msgpack.unpackb(results[0])) == 1
