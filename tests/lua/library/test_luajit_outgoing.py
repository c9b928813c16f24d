"""Typed arrays that are sent, on every engine."""

import msgpack
import pytest

from midas_mp import limits
from midas_mp.lua.runtime import Context, Profile
from midas_mp.wire.messages import RETURNED
from tests.lua.arrays import array, unpack


def sent(state, *buffers, payload=None):
    data, *more = state.call_buffers("execute_code", *buffers)
    return unpack(data), list(map(bytes, more))


@pytest.mark.parametrize(
    ("size", "buffer_count"),
    [(limits.INLINE_ARRAY_BYTES_MAX - 1, 0), (limits.INLINE_ARRAY_BYTES_MAX, 1)],
)
def test_what_is_small_travels_inside_the_msgpack(script, size, buffer_count):
    body = f"local a = midas.array('uint8', {size}) for i = 1, #a do a[i] = i % 256 end return a"
    value, buffers = sent(script(f"function execute_code() {body} end"))
    expected = [i % 256 for i in range(1, size + 1)]
    assert len(buffers) == buffer_count
    assert value.values(value, *buffers) == expected


def test_arrays_are_where_they_were_in_tables(script):
    body = """
    local a, b = midas.array("int16", { 1, 2 }), midas.array("float64", 200)
    b[200] = 2.5
    return { list = { a, { b } }, [7] = a, n = 1 }"""
    value, buffers = sent(script(f"function execute_code() {body} end"))
    assert value["list"][0].values() == value[7].values() == [1, 2]
    assert value["list"][1][0].values(None, *buffers)[-1] == 2.5
    assert len(buffers) == 1


def test_an_array_that_comes_several_times_is_one_buffer(script):
    body = "local a = midas.array('int8', 5000) return { a, a, { a } }"
    value, buffers = sent(script(f"function execute_code() {body} end"))
    assert [value[0].buffer, value[1].buffer, value[2][0].buffer] == [1, 1, 1]
    assert buffers == [bytes(5000)]


def test_more_arrays_than_a_payload_has_buffers_travel_inside_the_msgpack(script):
    body = f"""
    local list = {{}}
    for i = 1, {limits.PAYLOAD_BUFFERS_MAX + 3} do
      list[i] = midas.array("uint16", 512)
      list[i][1] = i
    end
    return list"""
    value, buffers = sent(script(f"function execute_code() {body} end"))
    assert len(buffers) == limits.PAYLOAD_BUFFERS_MAX
    firsts = [each.values(None, *buffers)[0] for each in value]
    assert firsts == list(range(1, limits.PAYLOAD_BUFFERS_MAX + 4))


def test_an_array_that_came_may_be_sent(script):
    data = bytes(range(256)) * 10
    payload = msgpack.packb([array("uint8", [], (10, 256), 1)])
    source = "function execute_code() return { global_data, global_data[1] } end"
    value, buffers = sent(script(source), payload, data)
    assert (value[0][0].shape, value[1].shape) == ((10, 256), (10, 256))
    assert buffers == [data]


def test_a_later_item_does_not_change_what_an_earlier_one_returned(script):
    source = """
    local a = midas.array("uint8", 2000)
    return function(x) a[1] = x if x == 4 then error("on purpose") end return { a, a } end"""
    (data, *buffers), error = script(source).call_batch_buffers(1, 1, 2, 3, 4)
    assert [first.values(None, *buffers)[0] for first, _ in unpack(data)] == [1, 2, 3]
    assert len(buffers) == 3
    assert error.item == 3


def test_an_item_that_fails_while_it_is_sent_leaves_no_buffer(script):
    source = """
    return function(x)
      local a = midas.array("uint8", 2000)
      return { a, x == 2 and print or 1 }
    end"""
    (data, *buffers), error = script(source).call_batch_buffers(1, 1, 2)
    assert len(unpack(data)) == len(buffers) == 1
    assert error.message == "result: [2]: cannot send a function"


def test_what_a_failed_call_attached_is_not_sent_with_the_next(script):
    source = """
    function execute_code()
      local a = midas.array("uint8", 2000)
      if midas.index == 0 then return { a, print } end
      return { a }
    end"""
    state = script(source)
    assert state.fail().message == "execute_code() result: [2]: cannot send a function"
    _, *buffers = state.call_buffers(index=1)
    assert buffers == [bytes(2000)]


def test_arrays_are_arguments_and_results_of_functions(script):
    source = "return function(a, b) local c = a:copy() c[1] = b[2] return c end"
    state = script(source)
    packed = msgpack.packb([2, 0, array("int8", [1, 2]), array("float64", [0.5, 100])])
    (data,), error = state.runtime.call_batch(
        state.bundle.digest, RETURNED, Context(0, 0), [packed]
    )
    assert error is None
    assert unpack(data)[0].values() == [100, 2]


def test_an_array_of_a_task_that_is_over_cannot_be_sent(script):
    source = """
    function execute_code() kept = kept or global_data[1] return { x = { kept } } end"""
    state = script(source, isolate=False)
    state.call_buffers("execute_code", msgpack.packb([array("int8", [1])]))
    message = "execute_code() result: .x[1]: cannot send an array of a task that is over"
    assert state.fail().message == message


def test_the_driver_may_write_to_the_results_that_it_keeps(script):
    source = """
    function on_result(index, result) result[1] = 9 kept = result return result end
    function interpret_results() return kept[1] + results[1][2] end"""
    state = script(source, profile=Profile.DRIVER)
    state.start()
    memory = bytearray(b"\1\2" * 1000)
    state.call_buffers("on_result", msgpack.packb(array("int8", [], (2000,), 1)), memory)
    memory[:] = bytes(2000)
    assert state.call("interpret_results") == 11


def test_an_array_is_no_answer(script):
    source = "function interpret_results() return midas.array('int8', 3) end"
    state = script(source, profile=Profile.DRIVER)
    state.start()
    message = "interpret_results() result: a typed array cannot be printed"
    assert state.fail("interpret_results").message.startswith(message)
