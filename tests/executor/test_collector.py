"""Results of a map in their order."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest

from midas_mp.client.values import Packer
from midas_mp.errors import ClusterLost, ScriptError
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import Failed

pack = msgpack.packb


def collector(*, is_single=False, unordered=False, raw=False, **options):
    return Collector(is_single=is_single, unordered=unordered, raw=raw, **options)


def ready(collector):
    return [list(values) for values in collector.ready()]


def test_lists_wait_for_those_before_them():
    c = collector()
    c.take([(3, pack(["d"])), (1, pack(["b", "c"]))])
    assert ready(c) == []
    assert not c.is_empty
    c.take([(0, pack(["a"]))])
    assert ready(c) == [["a"], ["b", "c"], ["d"]]
    assert c.given == 4
    assert c.is_empty


def test_unordered_gives_them_as_they_come():
    c = collector(unordered=True)
    c.take([(3, pack(["d"])), (1, pack(["b"]))])
    assert ready(c) == [["d"], ["b"]]


def test_a_single_value_may_be_a_list_itself():
    c = collector(is_single=True)
    c.take([(0, pack([1, 2])), (1, [pack(None)])])
    assert ready(c) == [[[1, 2]], [None]]


def test_raw_gives_bytes():
    c = collector(raw=True)
    c.take([(0, pack(["a"]))])
    assert ready(c) == [[b"a"]]


def test_an_error_comes_behind_the_results_before_it():
    c = collector()
    error = ScriptError("runtime", "deliberate")
    c.take([(2, Failed(error, [pack(["c"])])), (0, pack(["a", "b"]))])
    given = c.ready()
    assert [next(given), next(given)] == [["a", "b"], ["c"]]
    with pytest.raises(ScriptError) as raised:
        next(given)
    assert raised.value is error


def test_an_error_without_results_is_raised_at_its_place():
    c = collector()
    c.take([(1, Failed(ScriptError("runtime", "x"), None))])
    assert ready(c) == []
    c.take([(0, pack(["a"]))])
    given = c.ready()
    assert next(given) == ["a"]
    with pytest.raises(ScriptError):
        list(given)


def test_a_loss_comes_behind_what_is_in_order():
    c = collector()
    c.take([(0, pack(["a"])), (2, pack(["c"]))])
    c.take(ClusterLost("gone"))
    given = c.ready()
    assert next(given) == ["a"]
    with pytest.raises(ClusterLost):
        next(given)


def test_single_values_that_are_due_are_given_together():
    c = collector(is_single=True)
    c.take([(3, pack("d")), (0, pack("a")), (1, memoryview(pack("b")))])
    assert ready(c) == [["a", "b"]]
    assert (c.given, c.is_empty) == (2, False)
    c.take([(2, pack("c"))])
    assert ready(c) == [["c", "d"]]
    assert (c.given, c.is_empty) == (4, True)


def test_but_not_more_than_may_be_given_at_a_time():
    c = collector(is_single=True, run_max=2)
    c.take([(i, pack(i)) for i in range(5)])
    assert ready(c) == [[0, 1], [2, 3], [4]]


def test_large_ones_and_those_of_several_buffers_come_alone():
    large, array = b"\xff" * 100_000, np.arange(1000)
    c = collector(is_single=True)
    values = ["a", "b", large, "c", array, "d"]
    payloads = [Packer().arguments(value) for value in values]
    c.take([(i, p[0] if len(p) == 1 else p) for i, p in enumerate(payloads)])
    given = ready(c)
    assert [len(values) for values in given] == [2, 1, 1, 1, 1]
    assert given[1] == [large]
    np.testing.assert_array_equal(given[3][0], array)


def test_single_values_before_an_error_are_given():
    for unordered in (False, True):
        c = collector(is_single=True, unordered=unordered)
        c.take([(0, pack("a")), (1, pack("b")), (2, Failed(ScriptError("runtime", "x"), None))])
        given = c.ready()
        assert next(given) == ["a", "b"]
        with pytest.raises(ScriptError):
            list(given)


def test_unordered_single_values_are_given_as_they_come():
    c = collector(is_single=True, unordered=True)
    c.take([(3, pack("d")), (1, pack("b")), (7, pack("h"))])
    assert ready(c) == [["d", "b", "h"]]
    assert c.is_empty
