"""A script as its caller sees it."""

from __future__ import annotations

import io
import sys
import threading

import pytest

import midas_mp
from midas_mp import ExecutorClosed, JournalRefused, ScriptError, UsageError


def test_it_gives_what_interpret_results_returns(executor, script):
    assert executor.run(script(), tasks=3) == "0,1,2"
    assert executor.run(script(interpret="return #results / 2"), tasks=3) == 1.5
    assert executor.run(script(interpret="return nil")) is None
    assert executor.run(script(interpret="return '\\255'")) == b"\xff"


def test_raw_gives_text_as_bytes(make_executor, script):
    assert make_executor(raw=True).run(script()) == b"0"


def test_without_a_number_each_worker_has_a_task(executor, script):
    assert executor.run(script()) == "0,1"
    assert executor.run(script(), tasks="2x") == "0,1,2,3"


def test_it_reads_what_it_is_given(executor, script):
    path = script(interpret="return arg[1] .. arg[2] .. arg.size .. (arg.none or '!')")
    assert executor.run(path, "a", 2, arg={"size": 1.5}) == "a21.5!"


def test_it_runs_where_the_program_is(executor, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("in the file")
    script(interpret="return io.open('text'):read('a') .. arg[0]")
    assert executor.run("job.lua") == "in the filejob.lua"


def test_its_config_says_what_the_executor_was_not_told(make_executor, script):
    path = script(top="config = { tasks = 4, timeout_s = 0.2 }")
    assert make_executor().run(path) == "0,1,2,3"
    endless = script("while true do end", top="config = { timeout_s = 0.2 }")
    with pytest.raises(ScriptError, match="0\\.2 s"):
        make_executor().run(endless)
    other = script(interpret="return _VERSION", top="config = { requires = { lua = '5.4' } }")
    assert make_executor().run(other) == "Lua 5.4"


def test_what_the_executor_was_told_holds_for_scripts_too(make_executor, script):
    path = script("return math.random()", interpret="return _VERSION .. results[1]")
    answers = {make_executor(lua="5.4", seed=seed).run(path, tasks=1) for seed in (1, 2)}
    assert len(answers) == 2
    assert all(answer.startswith("Lua 5.4") for answer in answers)
    with pytest.raises(ScriptError) as raised:
        make_executor(timeout=0.2).run(script(interpret="while true do end"))
    assert (raised.value.kind, raised.value.function) == ("timeout", "interpret_results")


@pytest.mark.parametrize(
    ("bodies", "kind", "text"),
    [
        ({"top": "x = = 1"}, "syntax", r"job\.lua:1: .*\n  1 \| x = = 1"),
        ({"execute": "error('no')"}, "runtime", r"task 0, on .*-00.: job\.lua:3: no\n  3 \| "),
        ({"generate": "error('no')"}, "runtime", r"generate_data, task 0: job\.lua:2: no"),
        ({"interpret": "error('no')"}, "runtime", r"interpret_results: job\.lua:4: no"),
        ({"execute": "return { f = print }"}, "unsendable", r"\.f: cannot send a function"),
        ({"interpret": "return {}"}, "unsendable", "a table cannot be printed"),
    ],
)
def test_what_is_wrong_with_it_is_said(executor, script, bodies, kind, text):
    with pytest.raises(ScriptError, match=text) as raised:
        executor.run(script(**bodies), tasks=1)
    assert raised.value.kind == kind


def test_it_may_go_on_without_failed_tasks(executor, script):
    path = script(
        "if global_data.index == 1 then error('no') end return 1",
        interpret="return results.n .. tostring(results[2]) .. errors[2]",
    )
    assert executor.run(path, tasks=3, on_error="continue") == "3niljob.lua:3: no"


def test_with_a_journal_it_goes_on(executor, script, tmp_path, capsys):
    journal = tmp_path / "job.journal"
    path = script("print('computed') return global_data.index")
    for computed in (3, 0):
        assert executor.run(path, tasks=3, journal=journal) == "0,1,2"
        assert capsys.readouterr().err.count("computed") == computed
    with pytest.raises(JournalRefused, match=r"job\.journal"):
        executor.run(path, "another argument", tasks=3, journal=journal)


def test_options_that_make_no_sense_are_refused(executor, script, tmp_path):
    with pytest.raises(UsageError, match=r"there is no file .*nowhere\.lua"):
        executor.run(tmp_path / "nowhere.lua")
    with pytest.raises(UsageError, match="is not a number of tasks"):
        executor.run(script(), tasks=-1)
    with pytest.raises(UsageError, match="the module 'none' is not beside"):
        executor.run(script(), modules=["none"])


def test_progress_is_told_in_the_callers_thread(executor, script):
    told = []

    def tell(*counts):
        told.append((threading.get_ident(), counts))

    executor.run(script(), tasks=20, progress=tell)
    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert told[-1][1] == (20, 20)


def test_progress_that_breaks_ends_it(make_executor, script):
    executor = make_executor()
    path = script("if global_data.index == 1 then while true do end end return 0")

    def broken(_done, _total):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        executor.run(path, tasks=2, progress=broken)
    assert executor.run(script(), tasks=1) == "0"


def test_calls_and_scripts_run_side_by_side(executor, script):
    path = script()
    answers = {}

    def run(number):
        answers[number] = executor.run(path, tasks=number)

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    assert sum(executor.map("function(x) return x end", range(100))) == 4950
    for thread in threads:
        thread.join()
    assert answers == {1: "0", 2: "0,1", 3: "0,1,2"}


class Begun(io.StringIO):
    """Knows when something was said: as a stderr, or as told of progress."""

    def __init__(self):
        super().__init__()
        self._event = threading.Event()

    def write(self, text):
        self._event.set()
        return len(text)

    def tell_of(self, _done, _total):
        self._event.set()

    def wait(self):
        assert self._event.wait(30)


@pytest.mark.parametrize("function", ["top", "execute", "interpret"])
def test_a_shutdown_that_cancels_ends_it(make_executor, script, function, monkeypatch):
    executor, begun = make_executor(), Begun()
    monkeypatch.setattr(sys, "stderr", begun)
    path = script(**{function: "print('at it') while true do end"})
    ended = []

    def run():
        try:
            executor.run(path)
        except ExecutorClosed as error:
            ended.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    executor.shutdown(cancel_futures=True)
    thread.join()
    assert ended == ["the executor was shut down"]


def test_a_shutdown_that_waits_lets_it_end(make_executor, script):
    executor, begun, answers = make_executor(), Begun(), []
    thread = threading.Thread(
        target=lambda: answers.append(executor.run(script(), tasks=50, progress=begun.tell_of))
    )
    thread.start()
    begun.wait()
    executor.shutdown()
    thread.join()
    assert len(answers[0].split(",")) == 50
    with pytest.raises(ExecutorClosed, match="after shutdown"):
        executor.run(script())


def test_a_standing_host_runs_its_tasks(standing_host, script):
    with midas_mp.Executor(standing_host) as executor:
        path = script("return midas.node", interpret="return table.concat(results, ' ')")
        assert set(executor.run(path, tasks=40).split()) == {"left", "right"}
        assert executor.run(script(), tasks=3) == "0,1,2"
