"""A map as its reader sees it, over a bridge to real workers."""

from __future__ import annotations

import itertools

import pytest

from midas_mp.client.values import Packer
from midas_mp.errors import ScriptError
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import MapPlan
from midas_mp.executor.function import as_function
from midas_mp.executor.items import Intake, Items
from midas_mp.executor.map_run import MapRun
from midas_mp.executor.progress import Progress

SQUARE = "function(x) return x * x end"
ENDLESS = "function() while true do end end"


@pytest.fixture
def begin(executor):
    """Begins a map on the executor's bridge; its results."""

    def begin(source, items, *, chunksize=None, buffersize=None, timeout=None, told=False):
        run = MapRun(
            executor._bridge,
            MapPlan(as_function(source), 1, chunksize),
            Intake(Items.parallel([items]), buffersize),
            Collector(is_single=chunksize == 1, unordered=False, raw=False),
            timeout=timeout,
            progress=Progress(told),
        )
        return run.results()

    return begin


def is_free(executor):
    """Whether its workers have nothing to do but this; else it never ends."""
    return executor.submit(SQUARE, 3).result(30) == 9


def test_it_begins_before_anybody_reads(begin, executor):
    results = begin(SQUARE, range(3))
    executor.submit(SQUARE, 0).result()
    assert list(results) == [0, 1, 4]


def test_one_that_is_closed_stops(begin, executor):
    results = begin(ENDLESS, range(20), chunksize=1)
    results.close()
    assert is_free(executor)
    assert list(results) == []


def test_one_that_is_dropped_unread_stops(begin, executor):
    begin(ENDLESS, range(20), chunksize=1)
    assert is_free(executor)


def test_one_that_is_left_half_way_stops(begin, executor):
    source = "function(x) if x > 2 then while true do end end return x end"
    for result in begin(source, itertools.count(), chunksize=1, buffersize=3):
        if result == 2:
            break
    assert is_free(executor)


def test_one_that_is_late_stops(begin, executor):
    with pytest.raises(TimeoutError, match=r"a result of map\(\) was not there in time"):
        next(begin(ENDLESS, range(2), timeout=0))
    assert is_free(executor)


def test_what_is_there_in_time_is_given_also_after_it(begin, executor):
    results = begin(SQUARE, range(100), timeout=20)
    assert next(results) == 0
    assert list(itertools.islice(results, 99)) == [x * x for x in range(1, 100)]


def test_items_are_fetched_as_results_are_read(begin):
    fetched = []
    items = (fetched.append(x) or x for x in itertools.count())
    results = begin(SQUARE, items, buffersize=10, chunksize=2)
    assert len(fetched) == 10
    for number, result in zip(range(50), results, strict=False):
        assert result == number * number
        assert len(fetched) <= number + 10
    results.close()


def test_an_error_ends_it(begin):
    results = begin("function(x) error('at ' .. x) end", range(5))
    with pytest.raises(ScriptError, match="at 0"):
        next(results)
    assert next(results, "over") == "over"


def test_the_bar_is_left_also_when_nobody_reads_on(begin, capsys):
    results = begin(SQUARE, range(1000), chunksize=10, told=True)
    next(results)
    results.close()
    err = capsys.readouterr().err
    assert err == "" or err.endswith("\n")


def test_progress_ends_where_the_map_ends(begin):
    told = []
    results = begin(SQUARE, range(10), buffersize=3, told=lambda *counts: told.append(counts))
    assert sum(results) == 285
    assert told[0][1] is None, "nobody knows so far how many there will be"
    assert told[-1] == (10, 10)


def test_a_value_of_many_megabytes_is_one_like_any_other(begin):
    value = b"\xff" * 3_000_000
    assert len(Packer().arguments([value])[0]) > 3_000_000
    assert list(begin("function(x) return x end", [value] * 3)) == [value] * 3
