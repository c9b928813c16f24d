import os
import re
import threading

import lupa.lua54
import pytest

from midas_mp import limits
from midas_mp.lua.output import Printed, Progressed
from midas_mp.lua.runtime import Profile
from midas_mp.lua.settings import library_sources


class Reader(threading.Thread):
    """Reads what a state prints while it runs, and until the mark that follows."""

    def __init__(self, state):
        super().__init__()
        self.state = state
        self.records = []
        os.set_blocking(state._output, True)
        self.start()

    def run(self):
        while not self.records or self.records[-1] != MARK:
            self.records += self.state.parser.feed(os.read(self.state._output, 2**20))

    def finish(self):
        os.set_blocking(self.state._output_fd, True)
        os.write(self.state._output_fd, b"G mark 0 0 1.000000\n")
        self.join()
        return self.records[:-1]


MARK = Progressed("mark", 0, 0, 1.0)


def test_a_text_over_the_limit_is_cut_and_says_so(script):
    state = script("function execute_code() print(('x'):rep(2^20 + 1)) end")
    reader = Reader(state)
    state.call()
    (record,) = reader.finish()
    assert len(record.text) == limits.PRINT_BYTES_MAX
    assert record.text.endswith(b"x... (cut: one print may have 1048576 bytes)")
    assert state.runtime.output_bytes == limits.PRINT_BYTES_MAX + len("P job-1 0 0 1048576\n")


def test_a_full_pipe_only_delays(script):
    state = script("function execute_code() for i = 1, 5000 do print(i, ('y'):rep(100)) end end")
    reader = Reader(state)
    state.call()
    assert reader.finish() == [
        Printed("job-1", 0, 0, b"%d\t" % i + b"y" * 100) for i in range(1, 5001)
    ]


def test_a_reader_that_is_gone_does_not_stop_the_task(script):
    state = script("function execute_code() for i = 1, 10 do print(i) end return 1 end")
    os.close(state._output)
    assert state.call() == 1
    assert state.runtime.output_bytes == 0
    state._output = os.open(os.devnull, os.O_RDONLY)


def test_progress_in_a_tight_loop_is_written_seldom(script):
    state = script(
        "function execute_code() for i = 1, 10^6 do _progress(i / 10^6 * 99, 60000) end end"
    )
    state.call()
    assert state.records() == [Progressed("job-1", 0, 0, 0.000001)]


def test_the_end_is_always_reported_once(script):
    state = script("function execute_code() for i = 1, 200 do _progress(i, 60000) end end")
    state.call()
    assert [r.fraction for r in state.records()] == [0.01, 1.0]


def test_odd_fractions_are_clamped_or_ignored(script):
    state = script(
        "function execute_code() _progress(-5, 0) _progress(0/0, 0) _progress(1/0, 0) end"
    )
    state.call()
    assert [r.fraction for r in state.records()] == [0.0, 1.0]


def test_each_task_reports_afresh(script):
    state = script("function execute_code() midas.progress(0.5) end")
    state.call(index=0)
    state.call(index=1)
    assert [r.index for r in state.records()] == [0, 1]


def test_a_long_line_does_not_wait_for_its_end(script):
    state = script("function execute_code() io.write(('z'):rep(2^16 + 1)) io.write('end') end")
    reader = Reader(state)
    state.call()
    assert [len(r.text) for r in reader.finish()] == [2**16 + 1, 3]


@pytest.mark.parametrize("engine", ["luajit"])
def test_a_pipe_that_does_not_block_only_delays_too(script):
    state = script("function execute_code() for i = 1, 5000 do print(i, ('y'):rep(100)) end end")
    os.set_blocking(state._output_fd, False)
    reader = Reader(state)
    state.call()
    assert len(reader.finish()) == 5000


# -- how much ------------------------------------------------------------------------------------

CLOSING = b"... lines are dropped from here on: a task may print 10000 lines or 1 MB a second"


def without_closing_notes(reader):
    texts = [record.text for record in reader.finish()]
    assert texts.count(CLOSING) >= 1
    return [text for text in texts if text != CLOSING]


def test_a_flood_that_is_cut_off_has_said_that_lines_are_dropped(script):
    state = script(FLOOD)
    reader = Reader(state)
    state.call()  # nobody asks what was dropped: the process is killed before
    texts = [record.text for record in reader.finish()]
    assert texts.index(CLOSING) >= limits.PRINT_LINES_BURST


FLOOD = "function execute_code() for i = 1, 250000 do print(i) end print('end') end"


def test_what_is_printed_too_fast_is_dropped_and_told(script):
    state = script(FLOOD)
    reader = Reader(state)
    state.call()
    state.runtime.tell_dropped()
    texts = without_closing_notes(reader)
    first = texts[: limits.PRINT_LINES_BURST]
    assert first == [b"%d" % i for i in range(1, limits.PRINT_LINES_BURST + 1)]
    rest = texts[limits.PRINT_LINES_BURST :]
    notes = [NOTE.fullmatch(text) for text in rest]
    assert notes[-1] or rest[-1] == b"end"
    dropped = sum(int(note[1]) for note in notes if note)
    assert dropped + len(texts) - sum(map(bool, notes)) == 250_001


def test_what_many_short_tasks_lose_is_told_to_the_last_line(script):
    state = script("function execute_code() for i = 1, 100 do print('line ' .. i) end end")
    reader = Reader(state)
    tasks = 1_500
    for index in range(tasks):
        state.call(index=index)
        if index % 7 == 0:
            state.runtime.tell_dropped()
    state.runtime.tell_dropped()
    before = state.runtime.output_bytes
    state.runtime.tell_dropped()  # once is enough
    assert state.runtime.output_bytes == before
    texts = without_closing_notes(reader)
    told = [int(note[1]) for note in map(NOTE.fullmatch, texts) if note]
    assert sum(told) > 0
    assert len(texts) - len(told) + sum(told) == tasks * 100


def test_bytes_are_bounded_as_lines_are(script):
    state = script("function execute_code() for i = 1, 40 do print(('x'):rep(2^20)) end end")
    reader = Reader(state)
    state.call()
    state.runtime.tell_dropped()
    texts = without_closing_notes(reader)
    notes = [note for note in map(NOTE.fullmatch, texts) if note]
    passed = len(texts) - len(notes)
    assert 16 <= passed < 30
    assert sum(float(note[2]) for note in notes) == 40 - passed


def test_the_driver_prints_what_it_likes(script):
    state = script("generate_data = loadstring(...)", profile=Profile.DRIVER, arg=["x", FLOOD_BODY])
    state.start()
    reader = Reader(state)
    state.call("generate_data")
    assert len(reader.finish()) == 150_000


# -- clocks --------------------------------------------------------------------------------------


class Clocked:
    """The output of an engine of PUC-Rio, on two clocks that the test turns."""

    def __init__(self):
        lua = lupa.lua54.LuaRuntime(encoding=None)
        self.told = []
        self._turn = lua.eval(b"function(cpu, wall) cpu_s, wall_s = cpu, wall end")
        self._turn(0, 0)
        lua.execute(b"""
            function os.clock() return cpu_s end
            function os.time() return wall_s end
""")
        build = lua.eval(b"""function(sources, settings, tell)
            local function use(name, ...) return load(sources[name])(...) end
            local pipe = use("plain_pipe", settings)
            function pipe.print(_, _, text) tell(text) end
            function pipe.progress(_, _, fraction) tell(fraction) end
            return use("output", settings, pipe, use("valve", settings, pipe.wall))
        end""")
        settings = {b"output_fd": 1, b"job": b"j", b"print_bytes_max": 1000, **RATES}
        sources = lua.table_from(library_sources())
        self.doors = build(sources, lua.table_from(settings), self.told.append)

    def turn(self, cpu_s, wall_s):
        self._turn(cpu_s, wall_s)

    def print(self, text=b"x"):
        self.doors[b"print"](text)

    def progress(self, fraction):
        self.doors[b"progress"](fraction, 0.1)


RATES = {
    b"print_lines_per_s": 10,
    b"print_lines_burst": 100,
    b"print_bytes_per_s": 1000,
    b"print_bytes_burst": 10_000,
}


def test_prints_are_bounded_by_the_user_s_time():
    output = Clocked()
    for second in range(100):  # little of it is the processor's
        output.turn(second * 0.01, second)
        for _ in range(9):
            output.print()
    assert output.told == [b"x"] * 900


def test_progress_that_has_become_slow_is_looked_at_again():
    output = Clocked()
    for i in range(1, 1001):
        output.turn(i * 1e-6, 0)
        output.progress(i / 10_000)
    assert len(output.told) == 1
    for second in range(1, 5):
        output.turn(second, second)
        output.progress(0.2 + second / 10)
    assert [round(fraction, 6) for fraction in output.told[1:]] == [0.3, 0.4, 0.5, 0.6]


FLOOD_BODY = "for i = 1, 150000 do print(i) end"
NOTE = re.compile(
    rb"\.\.\. (\d+) lines \((\d+\.\d) MB\) were dropped: "
    rb"a task may print 10000 lines or 1 MB a second"
)
