"""What a person may write, and who wins."""

from pathlib import Path

import pytest

from midas_mp import __version__
from midas_mp.config import (
    JobOptions,
    TaskCount,
    TimeLimit,
    check_arguments,
    is_set,
    parse_duration,
    parse_engine,
    parse_size,
)
from midas_mp.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20s", 20),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("2h", 7200),
        ("30d", 2_592_000),
        ("7", 7),
        (" .5 s ", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-1s", "1w", "s", "nan", "1e999", "1 2s", "٣x", "300000h", "9" * 400]
)
def test_bad_durations_say_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="20s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MB", 2**28), ("1.5GB", 3 * 2**29), ("2048k", 2**21), ("1GiB", 2**30), ("1048576", 2**20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "1", "0MB", "-5MB", "MB", "5XB", "1MBB", "1025TB", "9" * 400 + "MB"]
)
def test_bad_sizes_say_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="256MB"):
        parse_size(text)


def test_task_counts_follow_the_workers_only_with_an_x() -> None:
    assert TaskCount.parse("1000").resolve(8) == 1000
    assert TaskCount.parse("4x").resolve(8) == 32
    assert TaskCount.parse("4X").resolve(8) == 32
    assert TaskCount.parse("0").resolve(8) == 0
    assert [str(TaskCount.parse(text)) for text in ("1000", "4X")] == ["1000", "4x"]


@pytest.mark.parametrize("text", ["", "x", "0x", "-1", "1.5", "4xx", "1e3"])
def test_bad_task_counts_say_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="4x"):
        TaskCount.parse(text)


@pytest.mark.parametrize(
    ("text", "engine"),
    [("luajit", "luajit"), ("5.4", "lua5.4"), ("Lua5.5", "lua5.5"), (" 5.5 ", "lua5.5")],
)
def test_engines(text: str, engine: str) -> None:
    assert parse_engine(text) == engine


@pytest.mark.parametrize("text", ["", "5", "5.1", "lua", "jit", "lua 5.4", "x" * 1000])
def test_bad_engines_say_which_there_are(text: str) -> None:
    with pytest.raises(UsageError, match=r"choose luajit, 5\.4 or 5\.5"):
        parse_engine(text)


@pytest.mark.parametrize(
    ("requires", "engine"),
    [
        ({}, None),
        ([], None),
        ({"lua": "5.4"}, "lua5.4"),
        ({"midas": "0.0.1"}, None),
        ({"midas": "0.1", "lua": "luajit"}, "luajit"),
        ({"midas": __version__}, None),
    ],
)
def test_a_script_says_what_it_requires(requires: object, engine: str | None) -> None:
    assert JobOptions().with_script_config({"requires": requires}).engine == engine


@pytest.mark.parametrize(
    ("requires", "match"),
    [
        ("5.4", r"must be a table, such as"),
        (["5.4"], r"must be a table"),
        ({"python": "3"}, r"'python' is unknown; known are: lua, midas"),
        ({"lua": 5.4}, r"lua = 5\.4 is no text; write it like '5\.4'"),
        ({"lua": "5.1"}, r"'5\.1' is no Lua that Midas runs"),
        ({"midas": 0.2}, r"midas = 0\.2 is no release"),
        ({"midas": ">=0.2"}, r"midas = '>=0\.2' is no release"),
        ({"midas": "0.2.1.0"}, r"is no release"),
        ({"midas": "1"}, r"is no release"),
        ({"midas": "999.0"}, r"needs Midas 999\.0 or later, this is"),
        ({"midas": "0.999"}, r"needs Midas 0\.999 or later"),
    ],
)
def test_requirements_that_are_not_met_are_refused(requires: object, match: str) -> None:
    with pytest.raises(UsageError, match=rf"config\.requires: .*{match}"):
        JobOptions().with_script_config({"requires": requires})


@pytest.mark.parametrize(
    ("own", "wanted", "is_met"),
    [
        ("0.2.0", "0.2", True),
        ("0.10.0", "0.9", True),
        ("0.9.9", "0.10", False),
        ("1.0.0.dev3", "1.0", True),
        ("0.2.0", "0.2.1", False),
    ],
)
def test_releases_are_compared_as_numbers(
    own: str, wanted: str, is_met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midas_mp.config.__version__", own)
    config = {"requires": {"midas": wanted}}
    if is_met:
        assert JobOptions().with_script_config(config) == JobOptions()
    else:
        with pytest.raises(UsageError, match="upgrade"):
            JobOptions().with_script_config(config)


def test_an_engine_that_contradicts_the_script_is_refused_by_both_names() -> None:
    config = {"requires": {"lua": "5.4"}}
    assert JobOptions(engine="lua5.4").with_script_config(config).engine == "lua5.4"
    with pytest.raises(UsageError, match=r"for lua5\.4, but --lua asks for luajit"):
        JobOptions(engine="luajit").with_script_config(config)
    assert JobOptions(engine="luajit").with_script_config({}).engine == "luajit"


def test_script_config_fills_what_the_user_did_not_say() -> None:
    options = JobOptions(timeout=TimeLimit(5.0)).with_script_config(
        {
            "tasks": "4x",
            "timeout_s": 60,
            "memory": "64MB",
            "on_error": "continue",
            "retries": 2,
            "isolate": False,
            "modules": ["a.b"],
        }
    )
    assert options == JobOptions(
        tasks=TaskCount(4, is_per_worker=True),
        timeout=TimeLimit(5.0),
        memory_bytes=2**26,
        on_error="continue",
        retries=2,
        isolate=False,
        modules=("a.b",),
    )


def test_numbers_in_config_may_be_small_or_fractions() -> None:
    options = JobOptions().with_script_config({"timeout_s": 1e-5, "memory": 3e6})
    assert (options.timeout, options.memory_bytes) == (TimeLimit(1e-5), 3_000_000)


@pytest.mark.parametrize(
    ("text", "seconds", "factor"),
    [("20s", 20, 0), ("1.5m", 90, 0), ("7", 7, 0), ("5x", 0, 5), (" 2.5X ", 0, 2.5)],
)
def test_a_time_limit_is_a_duration_or_so_many_medians(
    text: str, seconds: float, factor: float
) -> None:
    limit = TimeLimit.parse(text)
    assert (limit.seconds, limit.factor) == (seconds, factor)
    assert JobOptions().with_script_config({"timeout_s": text}).timeout == limit


@pytest.mark.parametrize("text", ["1x", "0.5x", "0x", "x", "-5x", "5 x", "5xx", "1e3x"])
def test_a_time_limit_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"would end every second task|is not a duration"):
        TimeLimit.parse(text)


@pytest.mark.parametrize("config", [None, [], {}])
def test_no_config_changes_nothing(config: object) -> None:
    assert JobOptions(seed=3).with_script_config(config) == JobOptions(seed=3)


def test_config_may_be_said_twice_with_the_same_outcome() -> None:
    once = JobOptions().with_script_config({"isolate": False, "tasks": 7})
    assert once.with_script_config({"isolate": False, "tasks": 7}) == once


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"taks": 3}, r"config\.taks is unknown; known are: .*tasks"),
        ({"tasks": -1}, r"config\.tasks: "),
        ({"tasks": 1.5}, r"config\.tasks: 1\.5 is not a whole number"),
        ({"tasks": True}, r"config\.tasks: "),
        ({"timeout_s": 0}, r"config\.timeout_s: '0' is not a duration"),
        ({"memory": {}}, r"config\.memory: "),
        ({"on_error": "shrug"}, r"config\.on_error: 'shrug' is neither"),
        ({"retries": -1}, r"config\.retries: -1 is not a whole number"),
        ({"retries": 1_001}, r"config\.retries: 1001 is more than 1000"),
        ({"isolate": "no"}, r"config\.isolate: 'no' is neither true nor false"),
        ({"modules": {"a": 1}}, r"config\.modules: must be a list of module names"),
        (["tasks"], r"config must be a table with names as keys"),
        ("fast", r"config must be a table"),
    ],
)
def test_config_that_means_nothing_is_refused_by_name(config: object, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        JobOptions().with_script_config(config)


LONG = "x" * 10**6


@pytest.mark.parametrize(
    "config",
    [{key: LONG} for key in ("tasks", "timeout_s", "memory", "on_error", "isolate", LONG)],
)
def test_what_config_says_at_length_is_cut(config: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        JobOptions().with_script_config(config)
    assert len(str(caught.value)) < 300


def test_arguments_must_be_able_to_travel(monkeypatch, tmp_path):
    check_arguments(Path("job.lua"), JobOptions(arg=("ä",), arg_named={"size": "10"}))
    for said in ({"arg": ("\udcff",)}, {"arg_named": {"size": "\udcff"}}):
        with pytest.raises(UsageError, match="is not UTF-8"):
            check_arguments(Path("job.lua"), JobOptions(**said))
    with pytest.raises(UsageError, match="is not UTF-8"):
        check_arguments(Path("\udcff.lua"), JobOptions())
    with pytest.raises(UsageError, match="arguments are 50012 bytes long, the limit is 49152"):
        check_arguments(Path("x.l"), JobOptions(arg=("x" * 49_999,)))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the working directory is gone"):
        check_arguments(Path("job.lua"), JobOptions())


@pytest.mark.parametrize("said", ["1", "true", "yes", "on", " x "])
def test_a_variable_sets_a_flag(said):
    assert is_set(said)


@pytest.mark.parametrize("said", ["", "0", "false", "No", " off ", "F", "n"])
def test_a_variable_leaves_a_flag_as_it_is(said):
    assert not is_set(said)
