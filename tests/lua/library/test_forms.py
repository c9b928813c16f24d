"""What a call's payload is to the function: arguments, or a batch of them."""

import msgpack
import pytest

from midas_mp.errors import ScriptError
from midas_mp.lua.runtime import Context
from midas_mp.wire.messages import RETURNED, CallForm


@pytest.fixture
def function(script):
    """Calls what a source returns with arguments."""

    def call(source, *arguments, index=0, **settings):
        state = script(source, main="function", **settings)
        payload = msgpack.packb(arguments)
        context = Context(index, 0)
        (result,) = state.runtime.call(
            state.bundle.digest, RETURNED, context, [payload], CallForm.ARGUMENTS
        )
        return msgpack.unpackb(result, strict_map_key=False)

    return call


@pytest.fixture
def batch(script):
    """Calls what a source returns for each item; the results, and how one failed."""

    def call(source, arity, *arguments, first=0, round_=0, entry=RETURNED, **settings):
        state = script(source, main="function", **settings)
        payload = msgpack.packb([arity, first, *arguments])
        (results,), error = state.runtime.call_batch(
            state.bundle.digest, entry, Context(0, 0, round_), [payload]
        )
        return msgpack.unpackb(results, strict_map_key=False), error

    return call


# -- arguments -------------------------------------------------------------------------------


def test_what_the_main_chunk_returns_is_called(function):
    assert function("local k = 3 return function(a, b) return a * k + b end", 4, 5) == 17


def test_nil_among_arguments_stays_in_its_place(function):
    source = "return function(...) return { select('#', ...), (select(2, ...)) == nil } end"
    assert function(source, 1, None, 3, None) == [4, True]


def test_no_arguments_are_none(function):
    assert function("return function(...) return select('#', ...) end") == 0


def test_each_call_has_an_environment_of_its_own(script):
    state = script("return function() n = (n or 0) + 1 return n end")
    for _ in range(2):
        (result,) = state.runtime.call(
            state.bundle.digest, RETURNED, Context(0, 0), [b"\x90"], CallForm.ARGUMENTS
        )
        assert msgpack.unpackb(result) == 1


def test_a_named_function_of_a_file_takes_arguments_too(script):
    state = script("function area(w, h) return w * h end")
    (result,) = state.runtime.call(
        state.bundle.digest, "area", Context(0, 0), [msgpack.packb([2, 3])], CallForm.ARGUMENTS
    )
    assert msgpack.unpackb(result) == 6


@pytest.mark.parametrize("source", ["return 5", "x = 1"])
def test_a_source_that_returns_no_function_is_told(function, source):
    with pytest.raises(
        ScriptError, match=r"function returns a (number|nil), no function"
    ) as caught:
        function(source)
    assert caught.value.kind == "missing_function"


def test_a_function_without_a_name_is_shown_by_its_line(function):
    with pytest.raises(ScriptError) as caught:
        function("return function(x)\n  return x.y.z\nend", {})
    assert caught.value.message.startswith("function:2: attempt to index")
    assert "\tfunction:2: in function <function:1>" in caught.value.traceback


def test_a_result_that_cannot_be_sent_names_its_place(function):
    with pytest.raises(ScriptError, match=r"result: \.a: cannot send a function"):
        function("return function() return { a = print } end")


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\xdc", b"\x92\x01", b"\x91\x01\x02", b"\x80"])
def test_arguments_that_are_no_array_are_refused(script, payload):
    state = script("return function() end")
    with pytest.raises(ScriptError, match=r"^[^:]*: arguments: ") as caught:
        state.runtime.call(
            state.bundle.digest, RETURNED, Context(0, 0), [payload], CallForm.ARGUMENTS
        )
    assert caught.value.kind == "unsendable"


# -- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arity", "source", "expected"),
    [
        (1, "return function(x) return x * x end", [0, 1, 4, 9, 16, 25]),
        (2, "return function(x, y) return x * y end", [0, 6, 20]),
        (3, "return function(x, y, z) return x + y + z end", [3, 12]),
        (6, "return function(...) return select('#', ...) end", [6]),
    ],
)
def test_each_item_is_called_with_its_arguments(batch, arity, source, expected):
    assert batch(source, arity, *range(6)) == (expected, None)


def test_an_empty_batch_has_no_results(batch):
    assert batch("return function() end", 1) == ([], None)


@pytest.mark.parametrize("count", [15, 16, 70_000])
def test_batches_of_any_size(batch, count):
    assert batch("return function(x) return -x end", 1, *range(count)) == (
        [-x for x in range(count)],
        None,
    )


def test_nil_is_an_argument_and_a_result(batch):
    assert batch("return function(x) if x ~= nil then return { x } end end", 1, 1, None, 2) == (
        [[1], None, [2]],
        None,
    )


def test_values_of_every_kind_pass(batch):
    values = [True, 1.5, "text", b"\xff", [1, [2]], {"a": {"b": [1]}}, -(2**53), "x" * 70_000]
    assert batch("return function(x) return x end", 1, *values) == (values, None)


def test_a_failure_leaves_the_results_before_it(batch):
    source = "return function(x) if x == 3 then error('three') end return x end"
    results, error = batch(source, 1, *range(6))
    assert results == [0, 1, 2]
    assert (error.kind, error.message, error.item) == ("runtime", "function:1: three", 3)


def test_an_unsendable_result_leaves_those_before_it_whole(batch):
    source = "return function(x) return x < 2 and { x, ('y'):rep(9) } or { x, 'z', print } end"
    results, error = batch(source, 1, *range(4))
    assert results == [[0, "y" * 9], [1, "y" * 9]]
    assert (error.kind, error.item) == ("unsendable", 2)


def test_a_large_unsendable_result_leaves_those_before_it_whole(batch):
    source = """return function(x)
      local t = {}
      for i = 1, 9000 do t[i] = { i } end
      if x == 1 then t[9001] = print end
      return x == 1 and t or x
    end"""
    results, error = batch(source, 1, 0, 1, 2)
    assert (results, error.item) == ([0], 1)


def test_an_item_knows_its_index(batch):
    source = "return function() return midas.index end"
    assert batch(source, 1, "a", "b", first=40) == ([40, 41], None)


@pytest.mark.parametrize("isolate", [True, False])
def test_random_numbers_do_not_depend_on_where_batches_were_cut(batch, isolate):
    source = "return function() return { math.random(), math.random() } end"
    whole, _ = batch(source, 1, *range(6), round_=2, isolate=isolate)
    head, _ = batch(source, 1, *range(2), round_=2, isolate=isolate)
    tail, _ = batch(source, 1, *range(4), first=2, round_=2, isolate=isolate)
    assert whole == head + tail
    assert len({number for pair in whole for number in pair}) == 12
    assert whole != batch(source, 1, *range(6), round_=3, isolate=isolate)[0]


def test_source_that_comes_as_data_may_draw_too(function):
    source = "return function(text) return load(text)() end"
    text = "return math['ran' .. 'dom']()"
    drawn = [function(source, text, index=index) for index in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_random_function_of_a_module_counts_too(batch):
    source = "local draw = require 'draw' return function() return draw() end"
    modules = {"draw": "return function() return math.random() end"}
    whole, _ = batch(source, 1, 1, 2, 3, modules=modules)
    tail, _ = batch(source, 1, 2, 3, first=1, modules=modules)
    assert whole[1:] == tail


def test_the_items_of_a_batch_share_an_environment(batch):
    source = "return function() n = (n or 0) + 1 return n end"
    assert batch(source, 1, *range(3)) == ([1, 2, 3], None)


def test_a_named_function_takes_a_batch(batch):
    source = "function double(x) return 2 * x end"
    assert batch(source, 1, 1, 2, entry="double") == ([2, 4], None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x90",
        b"\x91\x01",
        b"\x92\x00\x00",
        b"\x92\xa1x\x00",
        b"\x93\x02\x00\x01",
        b"\x80",
        b"\x92\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x00",
    ],
)
def test_a_batch_that_is_none_is_refused(script, payload):
    state = script("return function() end")
    (results,), error = state.runtime.call_batch(
        state.bundle.digest, RETURNED, Context(0, 0), [payload]
    )
    assert msgpack.unpackb(results) == []
    assert error.kind == "unsendable"


def test_a_batch_that_fills_the_memory_fails_whole(script):
    state = script("return function() return ('x'):rep(2 ^ 22) end")
    payload = msgpack.packb([1, 0, *range(100)])
    with pytest.raises(ScriptError, match="memory limit of 64 MB reached") as caught:
        state.runtime.call_batch(state.bundle.digest, RETURNED, Context(0, 0), [payload])
    assert caught.value.kind == "memory"
    assert state.runtime.is_spoiled
