import os
import re
import threading

import pytest

from midas_mp import limits
from midas_mp.lua.output import Printed, Progressed
from midas_mp.lua.runtime import Profile


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

FLOOD = "function execute_code() for i = 1, 250000 do print(i) end print('end') end"


def test_what_is_printed_too_fast_is_dropped_and_told(script):
    state = script(FLOOD)
    reader = Reader(state)
    state.call()
    texts = [record.text for record in reader.finish()]
    first = texts[: limits.PRINT_LINES_BURST]
    assert first == [b"%d" % i for i in range(1, limits.PRINT_LINES_BURST + 1)]
    rest = texts[limits.PRINT_LINES_BURST :]
    notes = [NOTE.fullmatch(text) for text in rest]
    assert notes[-1] or rest[-1] == b"end"
    dropped = sum(int(note[1]) for note in notes if note)
    assert dropped + len(texts) - sum(map(bool, notes)) == 250_001


def test_bytes_are_bounded_as_lines_are(script):
    state = script("function execute_code() for i = 1, 40 do print(('x'):rep(2^20)) end end")
    reader = Reader(state)
    state.call()
    *texts, note = [record.text for record in reader.finish()]
    assert 16 <= len(texts) < 30
    assert NOTE.fullmatch(note)[2] == b"%d.0" % (40 - len(texts))


def test_the_driver_prints_what_it_likes(script):
    state = script("generate_data = loadstring(...)", profile=Profile.DRIVER, arg=["x", FLOOD_BODY])
    state.start()
    reader = Reader(state)
    state.call("generate_data")
    assert len(reader.finish()) == 150_000


FLOOD_BODY = "for i = 1, 150000 do print(i) end"
NOTE = re.compile(
    rb"\.\.\. (\d+) lines \((\d+\.\d) MB\) were dropped: "
    rb"a task may print 10000 lines or 1 MB a second"
)
