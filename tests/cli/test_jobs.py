"""The options of a job, on the command line, in variables and in the script's config; limits."""

from __future__ import annotations

import re
import sys
import time

import pytest

from midas_mp.lua.engines import ENGINES

HANG = {
    "loop": "while true do end",
    "loop that catches errors": "while true do pcall(function() while true do end end) end",
    "pattern": 'local s = ("a"):rep(28):find(("a*"):rep(28) .. "b")',
}
BOMB = {
    "table": "local t = {} for i = 1, 1e9 do t[i] = { i } end",
    "string": 'local s = "x" for i = 1, 40 do s = s .. s end',
}
NEST = "local function f() return coroutine.wrap(f)() end f()"
PLACES = {
    "top": "main chunk",
    "generate": "generate_data, task 0",
    "execute": r"execute_code, task 0, on \S+",
    "interpret": "interpret_results",
}


MORE_MEMORY = "more memory: --memory or config.memory, as far as the node has it"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", HANG)
def test_a_call_that_never_ends_is_ended(midas, script, place, how):
    ended = midas("run", script(**{place: HANG[how]}), "--tasks", "1", "--timeout", "200ms")
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(
        f"midas: script error in {PLACES[place]}\n"
        r"  timeout of 0\.2 s reached, killed; peak memory \d+ MB\n"
        r"  more time: --timeout or config\.timeout_s\n",
        ended.err,
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", BOMB)
def test_a_call_that_takes_all_memory_is_ended(midas, script, place, how):
    ended = midas("run", script(**{place: BOMB[how]}), "--tasks", "1", "--memory", "48MB")
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(
        f"midas: script error in {PLACES[place]}\n"
        r"  memory limit of 48 MB reached, peak \d+ MB\n"
        f"  {MORE_MEMORY if place == 'execute' else 'more memory: --driver-memory'}\n",
        ended.err,
    )


@pytest.mark.parametrize("place", PLACES)
def test_coroutines_that_nest_without_end_are_an_error(midas, script, place):
    ended = midas("run", script(**{place: NEST}), "--tasks", "1")
    assert (ended.code, ended.out) == (1, "")
    assert re.match(f"midas: script error in {PLACES[place]}\n  .*too many nested", ended.err)


def test_the_driver_may_have_another_bound_of_memory(midas, script):
    fill = 'local s = ("x"):rep(64 * 2^20)'
    path = script(top=fill, execute="return 1")
    ended = midas("run", path, "--tasks=1", "--memory=32MB", "--driver-memory=512MB")
    assert ended.code == 1
    assert "execute_code, task 0" in ended.err
    path = script(interpret=f"{fill} return #s")
    ended = midas("run", path, "--tasks=1", "--memory=32MB", "--driver-memory=512MB")
    assert ended == (0, f"{64 * 2**20}\n", "")


def test_a_worker_goes_on_after_a_task_that_was_ended(midas, script):
    hang = f"if midas.index % 5 == 2 then {HANG['loop']} end return global_data.index"
    path = script(hang, interpret=LIST_ALL)
    ended = midas(
        *("run", path, "--tasks", "11", "--workers", "2"),
        *("--timeout", "1s", "--on-error", "continue"),
    )
    assert ended.code == 1
    assert re.fullmatch(
        r"0,1,-,3,4,5,6,-,8,9,10,\n2:timeout of 1 s .*\n7:timeout of 1 s .*\n", ended.out
    )
    assert ended.err.endswith("midas: 2 tasks failed\n")


ENDED = {
    "loop": r"timeout of 1 s reached, killed; peak memory \d+ MB",
    "loop that catches errors": r"timeout of 1 s reached, killed; peak memory \d+ MB",
    "pattern": r"timeout of 1 s reached, killed; peak memory \d+ MB",
    "table": r"memory limit of 48 MB reached, peak \d+ MB",
    "string": r"memory limit of 48 MB reached, peak \d+ MB",
}
HINTS = {"timeout": "  more time: --timeout or config.timeout_s\n", "memory": f"  {MORE_MEMORY}\n"}
ON_ALL_ENGINES = ("loop", "pattern", "table")


@pytest.mark.parametrize(
    ("how", "engine"),
    [(how, "luajit") for how in ENDED]
    + [(how, engine) for engine in ENGINES[1:] for how in ON_ALL_ENGINES],
)
def test_one_bad_task_of_a_hundred_costs_one_result(midas, script, how, engine):
    bad = f"if midas.index == 41 then {(HANG | BOMB)[how]} end return global_data.index"
    timeout = "1s" if how in HANG else "60s"  # a busy machine takes long to fill memory
    began_s = time.monotonic()
    ended = midas(
        *("run", script(bad, interpret=LIST_ALL), "--tasks=100", "--workers=2", "--lua", engine),
        *(f"--timeout={timeout}", "--memory=48MB", "--on-error=continue"),
    )
    assert ended.code == 1
    numbers, error = ended.out.splitlines()
    assert numbers == "".join(f"{i if i != 41 else '-'}," for i in range(100))
    assert re.fullmatch(f"41:{ENDED[how]}", error)
    assert re.fullmatch(
        rf"midas: script error in execute_code, task 41, on \S+\n  {ENDED[how]}\n"
        rf"{HINTS.get(ENDED[how].partition(' ')[0], '')}midas: 1 task failed\n",
        ended.err,
    )
    seconds = time.monotonic() - began_s
    figures = f"{how} on {engine}: 99 of 100 results in {seconds:.1f} s, and one error: {error}"
    print(figures)  # noqa: T201 - a figure


def test_a_task_that_takes_many_times_the_median_is_ended(midas, script):
    hang = f"if midas.index == 3 then {HANG['loop']} end return global_data.index"
    options = ("--tasks", "12", "--workers", "2", "--on-error", "continue")
    path = script(hang, interpret=LIST_ALL)
    for ended in (
        midas("run", path, *options, "--timeout", "5x"),
        midas(
            "run", script(hang, interpret=LIST_ALL, top="config = { timeout_s = '5x' }"), *options
        ),
    ):
        assert ended.code == 1
        assert re.fullmatch(
            r"0,1,2,-,4,5,6,7,8,9,10,11,\n"
            r"3:timeout of 1 s \(5x the median task\) reached, killed; peak memory \d+ MB\n",
            ended.out,
        )


LIST_ALL = (
    "local s = '' for i = 1, results.n do s = s .. tostring(results[i] or '-') .. ',' end "
    "for i = 1, results.n do if errors[i] then s = s .. '\\n' .. i - 1 .. ':' .. errors[i] end end "
    "return s"
)


@pytest.mark.parametrize("place", ["generate", "execute"])
def test_continue_keeps_what_went_well(midas, script, place):
    failing = {place: "if midas.index == 1 then error('no luck', 0) end return { index = 7 }"}
    bodies = {"execute": "return global_data.index", "interpret": LIST_ALL} | failing
    if place == "execute":
        bodies["execute"] = bodies["execute"].replace("{ index = 7 }", "7")
    ended = midas("run", script(**bodies), "--tasks", "3", "--on-error", "continue")
    assert (ended.code, ended.out) == (1, "7,-,7,\n1:no luck\n")
    assert f"midas: script error in {PLACES[place].split(',')[0]}, task 1" in ended.err
    assert ended.err.endswith("midas: 1 task failed\n")


def test_many_failures_are_counted_not_all_shown(midas, script):
    path = script("error('no luck', 0)", interpret="return #results")
    ended = midas("run", path, "--tasks", "50", "--on-error", "continue")
    assert (ended.code, ended.out) == (1, "0\n")
    assert ended.err.count("midas: script error") == 10
    assert "midas: 40 more failed tasks are not shown" in ended.err
    assert ended.err.endswith("midas: 50 tasks failed\n")


def test_stop_ends_the_job_with_the_first_failure(midas, script):
    other = f"if midas.index == 1 then error('no luck', 0) end {HANG['loop']}"
    ended = midas("run", script(other), "--tasks", "2", "--workers", "2")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("midas: ") == 1
    assert "execute_code, task 1" in ended.err


@pytest.mark.parametrize(
    ("option", "variable", "config", "count"),
    [
        (None, None, "nil", 2),
        ("5", None, "nil", 5),
        ("4x", None, "nil", 8),
        (None, "3x", "nil", 6),
        (None, None, "7", 7),
        (None, None, '"2x"', 4),
        ("1", "9", "7", 1),
        (None, "9", "7", 9),
    ],
)
def test_who_says_how_many_tasks(midas, script, *, option, variable, config, count):
    path = script(
        "return midas.count",
        top=f"config = {{ tasks = {config} }}",
        interpret="return results[1]",
    )
    options = ["--tasks", option] if option else []
    env = {"MIDAS_WORKERS": "2"} | ({"MIDAS_TASKS": variable} if variable else {})
    assert midas("run", path, *options, env=env).out == f"{count}\n"


def test_config_speaks_for_the_other_options_too(midas, script):
    path = script(
        f"if midas.index == 0 then {HANG['loop']} else {BOMB['table']} end",
        top='config = { timeout_s = 2, memory = "48MB", on_error = "continue", tasks = 2 }',
        interpret='return errors[1] .. "|" .. errors[2]',
    )
    ended = midas("run", path, "--timeout", "300ms")
    assert ended.code == 1
    assert re.fullmatch(r"timeout of 0\.3 s .*\|memory limit of 48 MB reached.*\n", ended.out)


@pytest.mark.parametrize("way", ["--retries", "MIDAS_RETRIES", "config"])
def test_a_task_that_failed_is_tried_again_where_that_is_asked_for(midas, script, way):
    top = "config = { retries = 2 }" if way == "config" else ""
    path = script('if midas.attempt < 2 then error("not yet") end return midas.attempt', top=top)
    options = ["--retries", "2"] if way == "--retries" else []
    env = {"MIDAS_RETRIES": "2"} if way == "MIDAS_RETRIES" else {}
    assert midas("run", path, "--tasks", "2", *options, env=env).out == "2,2\n"


def test_a_task_that_fails_too_often_has_failed(midas, script):
    path = script('error("try " .. midas.attempt)')
    ended = midas("run", path, "--tasks", "1", "--retries", "1")
    assert (ended.code, ended.out) == (1, "")
    assert "try 1" in ended.err


def test_state_lasts_from_task_to_task_only_where_isolation_is_given_up(midas, script):
    body = "seen = (seen or 0) + 1 return seen"
    path = script(body)
    assert midas("run", path, "--tasks", "4", "--workers", "1").out == "1,1,1,1\n"
    path = script(body, top="config = { isolate = false }")
    assert midas("run", path, "--tasks", "4", "--workers", "1").out == "1,2,3,4\n"


def test_the_seed_settles_every_random_number(midas, script):
    path = script(
        "return global_data.drawn .. ':' .. math.random(1e9)",
        generate="return { drawn = math.random(1e9) }",
    )

    def answer(seed, workers):
        ended = midas("run", path, "--tasks=6", "--seed", seed, "--workers", workers)
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    answers = {(s, w): answer(s, w) for s in ("0", "1", "-7") for w in ("1", "3")}
    by_seed = {seed: {a for (s, _), a in answers.items() if s == seed} for seed in ("0", "1", "-7")}
    assert [len(found) for found in by_seed.values()] == [1, 1, 1]
    assert len(set.union(*by_seed.values())) == 3
    drawn = by_seed["0"].pop().strip().split(",")
    assert len(set(drawn)) == 6
    assert midas("run", path, "--tasks", "6", env={"MIDAS_SEED": "1"}).out in by_seed["1"]


@pytest.mark.parametrize(
    ("body", "out"),
    [
        ("return nil", ""),
        ("", ""),
        ("return 12", "12\n"),
        ("return 0.1", "0.1\n"),
        ("return 2^53", "9007199254740992\n"),
        ('return ""', "\n"),
        ('return "a\\nb\\n"', "a\nb\n\n"),
        ('return "\\255\\0\\27[1m"', "\udcff\0\x1b[1m\n"),
    ],
)
def test_the_answer_is_printed_as_it_is(midas, script, body, out):
    assert midas("run", script(interpret=body), "--tasks", "1") == (0, out, "")


def test_a_working_directory_that_is_gone_is_told(start, script):
    hut = ("bash", "-c", 'mkdir hut && cd hut && rmdir ../hut && exec "$@"', "bash")
    ended = start("run", script(), command=(*hut, sys.executable, "-m", "midas_mp")).wait()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "midas: the working directory is gone; change to another one\n"


def test_results_that_do_not_fit_together_are_told_as_such(midas, script):
    path = script('return ("x"):rep(2^20) .. midas.index', interpret="return 1")
    ended = midas("run", path, "--tasks=100", "--memory=256MB", "--driver-memory=32MB")
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(
        r"midas: script error in storing results, task \d+\n"
        r"  memory limit of 32 MB reached, peak \d+ MB\n"
        r"  more memory: --driver-memory\n",
        ended.err,
    )


@pytest.mark.parametrize("config", ['memory = "64MB"', 'requires = { lua = "5.4" }', "tasks = 2"])
def test_what_the_top_level_prints_is_shown_once(midas, script, config):
    top = f'print("top level") config = {{ {config} }}'
    ended = midas("run", script(top=top, execute="return 1"), "--tasks", "0")
    assert (ended.code, ended.out) == (0, "\n")
    assert ended.err.count("top level") == 1


def test_what_a_broken_top_level_printed_is_shown(midas, script):
    ended = midas("run", script(top='config = { memory = "64MB" } print("got here") error("no")'))
    assert ended.code == 1
    assert ended.err.startswith("got here\nmidas: script error")
