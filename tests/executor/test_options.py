"""What users say of an executor and of a map."""

from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.errors import UsageError
from midas_mp.executor.function import as_function
from midas_mp.executor.options import MapOptions, make_site, make_spec
from midas_mp.transport.address import Address

SQUARE = as_function("function(x) return x * x end")


def options(*, chunksize=None, buffersize=None, unordered=False):
    return MapOptions(None, chunksize, buffersize, unordered, progress=False)


# -- a map -----------------------------------------------------------------------------------------


def test_what_is_not_said_is_left_to_the_feed():
    plan = options().plan(SQUARE, 2, workers=4)
    assert plan == (SQUARE, 2, None, 0)


def test_a_full_buffer_gives_every_worker_several_tasks():
    for workers in (1, 2, 8):
        plan = options(buffersize=1000).plan(SQUARE, 1, workers)
        assert workers * 4 <= 1000 / plan.size_max < workers * 4 + 1


@pytest.mark.parametrize(("buffersize", "workers"), [(1, 1), (3, 64), (1, 0)])
def test_a_small_buffer_gives_tasks_of_one_item(buffersize, workers):
    assert options(buffersize=buffersize).plan(SQUARE, 1, workers).size_max == 1


@pytest.mark.parametrize("size", [0, -3, 1.0, "7", None])
def test_a_size_is_a_whole_number_of_1_or_more(size):
    for name in ("chunksize", "buffersize"):
        asked = options(**{name: size})
        if size is None:
            asked.plan(SQUARE, 1, 1)
        else:
            with pytest.raises(ValueError, match=f"{name} must be .* not {size!r}"):
                asked.plan(SQUARE, 1, 1)


def test_only_tasks_of_one_item_have_results_that_are_no_list():
    for chunksize, expected in ((1, [[[7]]]), (2, [[7]]), (None, [[7]])):
        collector = options(chunksize=chunksize).collector(raw=False)
        collector.take([(0, b"\x91\x07")])
        assert [list(values) for values in collector.ready()] == expected


# -- an executor -----------------------------------------------------------------------------------


def test_no_address_is_this_machine():
    assert make_site(None, None, None, 3) == (None, None, None, 3, False)
    assert make_site(None, 4, "256MB", 2) == (None, 4, 256 * limits.MB, 2, False)
    assert make_site(None, None, None, 3, host_process=True).host_process


def test_an_address_is_a_host():
    assert make_site("[::1]:4000", None, None, 3).address == Address.parse("[::1]:4000")
    with pytest.raises(UsageError, match="at an address the host has workers"):
        make_site("[::1]:4000", 2, None, 3)
    with pytest.raises(UsageError, match="at an address there is a host"):
        make_site("[::1]:4000", None, None, 3, host_process=True)


def test_times_and_sizes_may_be_numbers_or_words():
    assert make_spec(2, 2**28, 7, "5.4") == make_spec("2s", "256MB", 7, "lua5.4")
    assert make_spec(1e-3, None, 0, "luajit").timeout_s == 0.001
    assert make_spec(None, None, 0, "luajit").timeout_s == 0.0


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "long"])
def test_a_time_that_is_none_is_refused(timeout):
    with pytest.raises(UsageError, match="is not a duration"):
        make_spec(timeout, None, 0, "luajit")
