"""``--journal`` and ``midas journal show``: runs that are killed, stopped, and go on."""

from __future__ import annotations

import json
import re
import signal

import pytest

from midas_mp.journal.file import JournalFile

STEP = "midas.print('ran ' .. midas.index) local x = 0 for i = 1, 2e6 do x = x + i end return {}"
"""A task of some milliseconds that says that it ran."""

TASKS = 150
ANSWER = ",".join(map(str, range(TASKS))) + "\n"


def ran(err):
    return {int(index) for index in re.findall(r"\] ran (\d+)$", err, re.MULTILINE)}


def recorded(path):
    """The tasks that it says are done, as a run that goes on sees them."""
    with JournalFile(path, read_only=True) as file:
        if file.summary is None or not file.summary.rounds:
            return set()
        (only,) = file.summary.rounds
        return {index for index in range(only.count) if only.digest(index)}


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.journal"


@pytest.fixture
def stepping(script):
    return script(STEP.replace("{}", "midas.index"))


def test_after_ctrl_c_it_says_how_to_go_on(start, midas, stepping, journal):
    run = start("run", stepping, "--journal", journal, "--tasks", str(TASKS))
    run.wait_for("ran", count=20)
    ended = run.stop(signal.SIGINT)
    assert ended.code == 130
    assert ended.err.endswith(
        f"midas: stopped by SIGINT\nmidas: the same command goes on from {journal}\n"
    )
    assert [each.name for each in journal.parent.glob("run.journal*")] == ["run.journal"]
    before = recorded(journal)
    assert ran(ended.err) - before <= ran(ended.err)
    again = midas("run", stepping, "--journal", journal)
    assert (again.code, again.out) == (0, ANSWER)
    assert f"midas: {journal}: {len(before)} of {TASKS} tasks are done\n" in again.err
    assert not ran(again.err) & before


def test_a_complete_journal_gives_the_answer_again(midas, stepping, journal):
    first = midas("run", stepping, "--journal", journal, "--tasks", "5")
    assert ran(first.err) == set(range(5))
    again = midas("run", stepping, "--journal", journal)
    assert (again.code, again.out) == (0, first.out)
    assert again.err == f"midas: {journal}: 5 of 5 tasks are done\n"
    alone = midas("host", stepping, "--journal", journal, "--address", "127.0.0.1:0")
    assert (alone.code, alone.out) == (0, first.out), "without a participant"


def test_what_a_local_run_began_a_standing_host_ends(
    start, midas, stepping, journal, standing_host
):
    run = start("run", stepping, "--journal", journal, "--tasks", str(TASKS))
    run.wait_for("ran", count=20)
    run.kill()
    before = recorded(journal)
    at_host = start("run", stepping, "--journal", journal, "--address", standing_host)
    at_host.wait_for("ran", count=20)
    at_host.kill()
    assert not ran(at_host.err) & before
    between = recorded(journal)
    assert before < between
    ended = midas("run", stepping, "--journal", journal, "--address", standing_host)
    assert (ended.code, ended.out) == (0, ANSWER)
    assert ran(ended.err) == set(range(TASKS)) - between


def test_a_host_that_is_killed_goes_on_with_the_same_participant(start, stepping, journal):
    options = ("--journal", journal, "--no-progress")
    host = start("host", stepping, *options, "--address", "127.0.0.1:0", "--tasks", str(TASKS))
    where = host.address()
    start("participant", "--address", where, "--workers", "2")
    for count in (20, 40):
        host.wait_for("ran", count=count)
        host.kill()
        before = recorded(journal)
        host = start("host", stepping, *options, "--address", where)
        host.wait_for("ran")
        assert not ran(host.err) & before
    ended = host.wait()
    assert (ended.code, ended.out) == (0, ANSWER)
    assert ran(ended.err) == set(range(TASKS)) - before


def test_a_second_run_does_not_disturb_the_first(start, midas, script, journal):
    path = script(generate="print('waits') io.read() return { index = index }")
    run = start("run", path, "--journal", journal, "--tasks", "2")
    run.wait_for("waits")
    second = midas("run", path, "--journal", journal)
    reason = f"midas: the journal {journal}: another run of Midas writes it\n"
    assert (second.code, second.err) == (4, reason)
    shown = midas("journal", "show", journal)
    assert (shown.code, shown.err) == (0, "")
    run.say("one\ntwo")
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "0,1\n")


def test_other_arguments_are_refused(midas, script, journal):
    midas("run", script(), "--journal", journal, "--tasks", "2", "--", "a")
    ended = midas("run", script(), "--journal", journal, "--", "b")
    assert ended == (
        *(2, ""),
        f"midas: {journal}: 2 of 2 tasks are done\n"
        * 0
        + f"midas: the journal {journal}: it is of the arguments a, not of b: "
        "say the same as then, or name another file\n",
    )


def test_a_damaged_journal_is_refused(midas, script, journal):
    midas("run", script(), "--journal", journal, "--tasks", "2")
    content = bytearray(journal.read_bytes())
    content[-1] ^= 1  # the first record lies at the end of its page
    journal.write_bytes(content)
    for command in (("run", script(), "--journal"), ("journal", "show")):
        ended = midas(*command, journal)
        assert (ended.code, ended.out) == (4, "")
        assert f"midas: the journal {journal}: damaged: record 1 is not as it was" in ended.err


def test_a_run_that_never_began_leaves_no_journal(midas, script, journal):
    for options in (("--address", "127.0.0.1:1"), ("--lua", "5.4")):
        path = script(top="goto nowhere" if "--lua" in options else "")
        ended = midas("run", path, "--journal", journal, *options)
        assert ended.code in {1, 4}
        assert "goes on from" not in ended.err
        assert not journal.exists()


# -- show ----------------------------------------------------------------------------------------


def test_show_tells_what_is_in_it(midas, script, journal):
    path = script("assert(midas.index ~= 1) return 1", interpret="return #results")
    options = ("--tasks", "3", "--on-error", "continue", "--seed", "4", "--arg", "k=v w")
    midas("run", path, "--journal", journal, *options, "--", "a", "b\x1b")
    shown = midas("journal", "show", journal)
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(
        r"script     job\.lua, [0-9a-f]{12}\n"
        r"arguments  --arg 'k=v w' a 'b\\x1b'\n"
        r"Lua        luajit, seed 4\n"
        r"tasks      3\n"
        r"begun      \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n"
        r"last       \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n"
        r"size       [\d.]+ KB\n"
        r"round 0    3 of 3 tasks done, 1 failed\n",
        shown.out,
    )


def test_show_tells_programs_all_of_it(midas, script, journal):
    path = script(top="function next_round(round) return round < 1 end")
    midas("run", path, "--journal", journal, "--workers", "2")
    facts = json.loads(midas("journal", "show", "--json", journal).out)
    assert facts["file"] == str(journal)
    assert facts["size_bytes"] == journal.stat().st_size
    assert (facts["script"], facts["lua"], facts["seed"]) == ("job.lua", "luajit", 0)
    assert (facts["arg"], facts["named_arg"], facts["tasks"]) == ([], {}, None)
    assert [(r["round"], r["count"], r["done"], r["failed"]) for r in facts["rounds"]] == [
        (0, 2, 2, 0),
        (1, 2, 2, 0),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["began"])


def test_show_tells_the_last_of_many_rounds(midas, script, journal):
    path = script(top="function next_round(round) return round < 12 end")
    midas("run", path, "--journal", journal, "--tasks", "1", "--workers", "1")
    lines = midas("journal", "show", journal).out.splitlines()
    assert "rounds     3 before these, all done" in lines
    assert [line[:8].strip() for line in lines[-10:]] == [f"round {n}" for n in range(3, 13)]


def test_show_of_an_empty_file_says_so(midas, journal):
    journal.touch()
    assert midas("journal", "show", journal).out == f"{journal}: nothing is recorded\n"
    assert json.loads(midas("journal", "show", "--json", journal).out)["script"] is None


def test_show_says_what_is_no_journal(midas, script, journal):
    ended = midas("journal", "show", script())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith("job.lua: it is not a journal of Midas\n")
    missing = midas("journal", "show", journal)
    assert (missing.code, missing.out) == (2, "")
    assert "does not exist" in missing.err


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(900, "900 bytes"), (2**20, "1 MB"), (2**34, "16 GB")]
)
def test_sizes_are_short(size_bytes, text):
    from midas_mp.cli.journal import _size

    assert _size(size_bytes) == text
