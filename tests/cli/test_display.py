"""How a job looks while it runs: on a terminal, in a pipe, and not at all."""

from __future__ import annotations

import os
import pty
import re
import threading

import pytest

from midas_mp.cli.display import (
    LONG_TASK_UNTOLD_S_MAX,
    BarDisplay,
    Display,
    PlainDisplay,
    make_display,
)
from midas_mp.errors import ScriptError

WAIT_FOR_A_LINE = "if index == 3 then io.read() end return { index = index }"


class Terminal:
    """A pseudo-terminal whose screen can be read."""

    def __init__(self) -> None:
        self._screen, self.fd = pty.openpty()
        self._text = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> str:
        """All that was written to it."""
        os.close(self.fd)
        self._reader.join(20)
        os.close(self._screen)
        return self._text.decode()

    def text(self) -> str:
        return self._text.decode("utf-8", "replace")

    def _read(self) -> None:
        try:
            while data := os.read(self._screen, 65_536):
                self._text += data
        except OSError:
            return  # the other side has been closed


# -- figures -----------------------------------------------------------------------------------


def test_figures_tell_the_rate_the_rest_and_who_works():
    display = Display()
    display.count, display.workers = 100, 1
    assert display.figures() == "1 worker"
    display.round_began_s -= 10
    display.advanced(50, 2, range(50))
    assert re.fullmatch(
        r"(5|4\.99|5\.0\d*) tasks/s, about 10 s left, 1 worker, 2 failed", display.figures()
    )


def test_figures_promise_no_end_where_nobody_works():
    display = Display()
    display.count = 100
    display.round_began_s -= 10
    display.advanced(50, 0, range(50))
    display.workers_changed(0)
    assert "left" not in display.figures()
    assert display.figures().endswith("0 workers")


def test_later_rounds_have_their_number_and_their_own_figures(run):
    async def main():
        with Display() as display:
            display.started(0, 4, 1)
            display.advanced(4, 1, range(4))
            display.progressed(3, 0.5)
            assert "round" not in display.figures()
            display.started(3, 8, 1)
            assert display.figures() == "round 3, 1 worker, 1 failed"
            assert (display.count, display.done) == (8, 0)

    run(main())


def test_the_task_that_runs_longest_is_named():
    display = Display()
    display.running(7, "lab-003", 125.0)
    display.running(8, "lab-001", 6.0)
    assert display.figures() == "0 workers, task 7 for 2 min 05 s on lab-003"
    display.running(7, "lab-002", 5.0)  # begun again elsewhere
    assert display.figures() == "0 workers, task 8 for 6 s on lab-001"
    display.advanced(1, 0, [8])
    assert display.figures() == "0 workers, task 7 for 5 s on lab-002"
    told = display.long_tasks[7]
    display.long_tasks[7] = told._replace(told_s=told.told_s - LONG_TASK_UNTOLD_S_MAX)
    assert display.figures() == "0 workers"


def test_shared_data_is_shown_while_a_node_waits_for_it():
    display = Display()
    for node, received in {"a": 45, "b": 45, "c": 5}.items():
        display.shared_progressed(node, received * 2**20, 45 * 2**20)
    assert display.figures() == "sharing 45 MB: 2 of 3 nodes, 70%, 0 workers"
    display.shared_progressed("c", 0, 45 * 2**20)  # the node is gone
    assert display.figures() == "0 workers"
    display.shared_progressed("d", 1, 45 * 2**20)
    display.shared_progressed("d", 45 * 2**20, 45 * 2**20)
    assert display.figures() == "0 workers"


def test_parts_of_running_tasks_count_until_they_have_ended():
    display = Display()
    display.count, display.workers = 4, 2
    display.progressed(0, 0.5)
    display.progressed(1, 0.25)
    assert display.done_with_parts == 0.75
    assert display.figures().endswith("task 0 at 50%, task 1 at 25%")
    display.advanced(1, 0, [0])
    assert display.done_with_parts == 1.25
    assert display.figures().endswith("2 workers, task 1 at 25%")


# -- lines -------------------------------------------------------------------------------------


def test_prints_are_tagged_and_nothing_in_them_is_obeyed(capsys):
    display = Display()
    display.printed(3, "laptop-000", b"red \x1b[31m\nsecond \xff")
    display.printed(0, "", b"from the script itself")
    assert capsys.readouterr().err == (
        "[3 laptop-000] red \\x1b[31m\n[3 laptop-000] second \\xff\nfrom the script itself\n"
    )


def test_a_notice_is_a_line_of_midas(capsys):
    Display().noticed("no workers\x07")
    assert capsys.readouterr().err == "midas: no workers\\x07\n"


def test_only_the_first_failures_are_shown(capsys):
    with Display() as display:
        for index in range(25):
            display.task_failed(ScriptError("runtime", "no luck", index=index))
    err = capsys.readouterr().err
    assert err.count("script error in task") == 10
    assert err.endswith("midas: 15 more failed tasks are not shown\n")


def test_where_there_is_no_terminal_lines_are_rare(capsys):
    display = PlainDisplay()
    display.count, display.done, display.workers = 8, 2, 2
    display.refresh()
    assert capsys.readouterr().err == ""
    display._line_s -= 11
    display.refresh()
    display.refresh()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("midas: 2/8 tasks (25%), ")


def test_the_kind_fits_where_stderr_goes(monkeypatch):
    assert type(make_display(wants_progress=True)) is PlainDisplay
    assert type(make_display(wants_progress=False)) is Display
    terminal = Terminal()
    with os.fdopen(os.dup(terminal.fd), "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        assert type(make_display(wants_progress=True)) is BarDisplay
    terminal.close()


# -- the command ---------------------------------------------------------------------------------


def test_prints_appear_while_the_task_runs(start, script):
    run = start("run", script('print("live") while true do end'), "--tasks", "1")
    run.wait_for(r"\[0 \S+\] live\n")
    run.stop()


def test_all_prints_of_a_task_come_in_order_and_before_the_end(midas, script):
    path = script(
        "for i = 1, 500 do print(i) end return 1",
        generate='print("generating", index) return {}',
        interpret='print("interpreting") return "done"',
    )
    ended = midas("run", path, "--tasks", "6", "--workers", "2")
    assert (ended.code, ended.out) == (0, "done\n")
    lines = ended.err.splitlines()
    assert lines[-1] == "interpreting"
    assert [line for line in lines if line.startswith("gen")] == [
        f"generating\t{index}" for index in range(6)
    ]
    for index in range(6):
        printed = [line.split("] ")[1] for line in lines if line.startswith(f"[{index} ")]
        assert printed == [str(i) for i in range(1, 501)]
    assert len(lines) == 1 + 6 + 6 * 500


def test_what_an_earlier_run_did_is_done_but_no_part_of_the_rate():
    display = Display()
    display.count, display.workers = 100, 1
    display.advanced(60, 0, ())
    display.round_began_s -= 10
    assert (display.done, display.figures()) == (60, "1 worker")
    display.advanced(80, 0, range(20))
    assert re.fullmatch(r"2 tasks/s, about \d+ s left, 1 worker", display.figures())


@pytest.mark.parametrize("word", ["print", "_print", "midas.print"])
def test_every_word_for_printing_reaches_the_user(midas, script, word):
    ended = midas("run", script(f'{word}("a\\tb \\27[31m") return 1'), "--tasks=1", "--workers=1")
    assert re.fullmatch(r"\[0 \S+-000\] a\tb \\x1b\[31m\n", ended.err)


def test_prints_of_a_task_that_is_killed_are_not_lost(midas, script):
    path = script('for i = 1, 100 do print("line", i) end while true do end')
    ended = midas("run", path, "--tasks", "1", "--timeout", "200ms")
    assert ended.code == 1
    assert re.findall(r"line\t(\d+)", ended.err) == [str(i) for i in range(1, 101)]


def test_a_terminal_shows_every_line_of_many_above_the_bar(start, script):
    path = script(
        "for i = 1, 3000 do print('line', i) end return 1",
        generate=WAIT_FOR_A_LINE,
    )
    terminal = Terminal()
    # unbuffered, Python itself loses what a terminal does not take at once
    env = {"TERM": "xterm", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    run = start("run", path, "--tasks", "4", stderr=terminal.fd, env=env)
    run.wait_until(lambda: re.search(r"[0-3]/4 .*%.*worker", terminal.text()))
    run.say("go on")
    assert run.wait().code == 0
    shown = terminal.close()
    for index in range(4):
        numbers = re.findall(rf"^.*\[{index} \S+\] line\t(\d+)\r$", shown, re.MULTILINE)
        assert numbers == [str(i) for i in range(1, 3001)]


def test_a_terminal_shows_a_bar_and_clears_it(start, script):
    path = script('print("from a task \\27[5m") return global_data.index', generate=WAIT_FOR_A_LINE)
    terminal = Terminal()
    run = start(
        *("run", path, "--tasks", "4"), stderr=terminal.fd, env={"TERM": "xterm", "COLUMNS": "100"}
    )
    run.wait_until(lambda: re.search(r"[0-3]/4 .*%.*worker", terminal.text()))
    run.say("go on")
    ended = run.wait()
    shown = terminal.close()
    assert (ended.code, ended.out) == (0, "0,1,2,3\n")
    assert shown.count("from a task \\x1b[5m") == 4
    assert "\x1b[5m" not in shown
    after_the_bar = shown[shown.rindex("/4 ") :]
    assert "\x1b[2K" in after_the_bar
    assert "\x1b[?25h" in after_the_bar  # the cursor is back


@pytest.mark.parametrize("how", ["option", "pipe"])
def test_no_bar_where_none_is_wanted_or_none_can_be(start, script, how):
    path = script(generate=WAIT_FOR_A_LINE)
    terminal = Terminal()
    if how == "option":
        run = start("run", path, "--tasks=4", "--no-progress", stderr=terminal.fd)
    else:
        run = start("run", path, "--tasks=4")
    run.say("go on")
    ended = run.wait()
    shown = terminal.close()
    assert (ended.code, ended.out) == (0, "0,1,2,3\n")
    assert (shown, ended.err) == ("", "")


def test_what_happens_at_a_host_stands_above_its_bar(start, script):
    path = script("return global_data.index", generate=WAIT_FOR_A_LINE)
    terminal = Terminal()
    env = {"TERM": "xterm", "COLUMNS": "100"}
    at = ("--address", "127.0.0.1:0")
    host = start("host", path, *at, "--tasks", "4", stderr=terminal.fd, env=env)
    host.wait_until(lambda: re.search(r"listening on (\S+)\r", terminal.text()))
    where = re.search(r"listening on (\S+)\r", terminal.text())[1]
    start("participant", "--address", where, "--workers", "1", "--name", "first")
    host.wait_until(lambda: re.search(r"[0-3]/4 .*%.*worker", terminal.text()))
    start("participant", "--address", where, "--workers", "1", "--name", "second")
    host.wait_until(lambda: "midas: node second joined, 1 worker announced\r" in terminal.text())
    host.say("go on")
    ended = host.wait()
    terminal.close()
    assert (ended.code, ended.out) == (0, "0,1,2,3\n")
