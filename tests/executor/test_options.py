"""What users say of an executor and of a map."""

from __future__ import annotations

from pathlib import Path

import pytest

from midas_mp import limits
from midas_mp.config import JobOptions, TaskCount, TimeLimit
from midas_mp.errors import UsageError
from midas_mp.executor.function import as_function
from midas_mp.executor.options import MapOptions, ScriptOptions, make_site, make_spec
from midas_mp.join.access import BY_USER, Access
from midas_mp.permissions import KINDS, OF_TASKS, Permissions
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


def test_a_buffer_bounds_what_is_given_together():
    for buffersize, given in ((None, 20), (80, 10), (8, 1), (1, 1)):
        collector = options(chunksize=1, buffersize=buffersize).collector(raw=False)
        collector.take([(i, b"\x07") for i in range(20)])
        assert len(next(collector.ready())) == given


# -- an executor -----------------------------------------------------------------------------------


def test_no_address_is_this_machine():
    unsaid = (BY_USER, OF_TASKS, 0)
    assert make_site(None, None, None, 3) == (None, None, None, 3, False, *unsaid)
    assert make_site(None, 4, "256MB", 2) == (None, 4, 256 * limits.MB, 2, False, *unsaid)
    assert make_site(None, None, None, 3, host_process=True).host_process


def test_an_address_is_a_host():
    assert make_site("[::1]:4000", None, None, 3).address == Address.parse("[::1]:4000")
    with pytest.raises(UsageError, match="at an address the host has workers"):
        make_site("[::1]:4000", 2, None, 3)
    with pytest.raises(UsageError, match="at an address there is a host"):
        make_site("[::1]:4000", None, None, 3, host_process=True)


def test_what_tasks_may_use_is_said_as_on_the_command_line(tmp_path):
    said = {"allow": [f"read={tmp_path}"], "deny": ["clock"]}
    site = make_site(None, None, None, 3, sandbox_level_min=2, **said)
    assert site.permissions == Permissions(read=(str(tmp_path),), clock=False)
    assert site.sandbox_level_min == 2
    with pytest.raises(UsageError, match="at an address the owners of nodes grant"):
        make_site("h:1", None, None, 3, allow=["read"])
    assert make_site("h:1", None, None, 3, deny=["clock"]).permissions == Permissions(clock=False)


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ({"allow": "read"}, TypeError, "allow must be a list"),
        ({"deny": "clock"}, TypeError, "deny must be a list"),
        ({"allow": ["net"]}, UsageError, "'net' is no permission"),
        ({"allow": ["write"]}, UsageError, "say below which folder"),
        ({"allow": ["read=/no/such"]}, UsageError, "read=/no/such: there is no such folder"),
        ({"deny": ["read=/data"]}, UsageError, "is no permission"),
        ({"sandbox_level_min": 4}, UsageError, "sandbox_level_min must be 0 to 3, not 4"),
    ],
)
def test_what_makes_no_sense_of_permissions_is_refused(said, kind, text):
    with pytest.raises(kind, match=text):
        make_site(None, None, None, 3, **said)


def test_what_is_denied_no_call_and_no_script_asks_for(tmp_path):
    spec = make_spec(None, None, 0, "luajit", deny=["clock", "read"])
    assert spec.permissions == ["write", "jit"]
    options = ScriptOptions(allow_write=[tmp_path]).plan("job.lua", spec).options
    assert options.denied == ("read", "clock")
    assert options.kinds_asked == ["write", "jit"]
    assert options.allow_write == (str(tmp_path),)
    everything = make_spec(None, None, 0, "luajit", deny=KINDS)
    assert everything.permissions == []
    assert ScriptOptions().plan("job.lua", everything).options.denied == KINDS


def test_times_and_sizes_may_be_numbers_or_words():
    assert make_spec(2, 2**28, 7, "5.4") == make_spec("2s", "256MB", 7, "lua5.4")
    assert make_spec(1e-3, None, 0, "luajit").timeout_s == 0.001
    assert make_spec(None, None, 0, "luajit").timeout_s == 0.0


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "long"])
def test_a_time_that_is_none_is_refused(timeout):
    with pytest.raises(UsageError, match="is not a duration"):
        make_spec(timeout, None, 0, "luajit")


@pytest.mark.parametrize("retries", [-1, 1_001, 0.5, "many", None])
def test_a_number_of_retries_that_is_none_is_refused(retries):
    with pytest.raises(UsageError, match="retries must be 0 to 1000"):
        make_spec(None, None, 0, "luajit", retries)


# -- a script --------------------------------------------------------------------------------------


def test_what_an_executor_was_not_told_is_up_to_the_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = ScriptOptions().plan("job.lua", make_spec(None, None, 0, "luajit"))
    assert plan == (Path("job.lua"), JobOptions(), str(tmp_path), None)


def test_what_it_was_told_holds(tmp_path):
    spec = make_spec("5s", "64MB", 7, "5.4", 2)
    plan = ScriptOptions(tasks="4x", on_error="continue", modules=["a"]).plan("job.lua", spec)
    assert plan.options == JobOptions(
        tasks=TaskCount(4, is_per_worker=True),
        timeout=TimeLimit(5.0),
        memory_bytes=64 * limits.MB,
        on_error="continue",
        seed=7,
        engine="lua5.4",
        modules=("a",),
        retries=2,
    )


def test_arguments_are_texts_in_the_end(tmp_path):
    said = ScriptOptions(args=("a", 1, 0.5, tmp_path), arg={"size": 10})
    options = said.plan("job.lua", make_spec(None, None, 0, "luajit")).options
    assert options.arg == ("a", "1", "0.5", str(tmp_path))
    assert options.arg_named == {"size": "10"}


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ({"tasks": "many"}, UsageError, "'many' is not a number of tasks"),
        ({"tasks": 1.5}, UsageError, "'1.5' is not a number of tasks"),
        ({"on_error": "stopp"}, UsageError, "on_error must be 'stop' or 'continue', not 'stopp'"),
        ({"modules": "abc"}, TypeError, "modules must be a list of names"),
        ({"allow_write": "/tmp"}, TypeError, "allow_write must be a list of folders"),
        ({"allow_write": ["/no/such"]}, UsageError, "allow_write: there is no folder /no/such"),
        ({"arg": ["a"]}, TypeError, "arg must be a dict of names and values"),
        ({"arg": {"a": None}}, TypeError, "must be text or a number, not None"),
        ({"args": (True,)}, TypeError, "must be text or a number, not True"),
        ({"args": ("\ud800",)}, UsageError, "is not UTF-8"),
        ({"args": ("x" * 50_000,)}, UsageError, "put them into a file"),
    ],
)
def test_what_makes_no_sense_of_a_script_is_refused(said, kind, text):
    with pytest.raises(kind, match=text):
        ScriptOptions(**said).plan("job.lua", make_spec(None, None, 0, "luajit"))


def test_a_token_is_for_an_address(monkeypatch, caplog):
    assert make_site("h:1", None, None, 3, token="midas1.x").access == Access(token="midas1.x")
    access = Access(is_insecure=True)
    assert make_site("h:1", None, None, 3, token=access).access is access
    (record,) = caplog.records
    assert "insecure: whoever is between here and h:1 can change everything" in record.message
    monkeypatch.setenv("MIDAS_TOKEN", "midas1.y")
    assert make_site("h:1", None, None, 3).access == Access(token="midas1.y")
    with pytest.raises(UsageError, match="a token is for a host"):
        make_site(None, None, None, 3, token="midas1.x")
