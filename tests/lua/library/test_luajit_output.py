import os
import threading

import pytest

from midas_mp import limits
from midas_mp.lua.output import OutputParser, Printed, Progressed


def test_a_text_over_the_limit_is_cut_and_says_so(script):
    state = script("function execute_code() print(('x'):rep(2^20 + 1)) end")
    found = []
    reader = threading.Thread(target=lambda: found.extend(read_all(state)))
    reader.start()
    state.call()
    os.close(state._output_fd)
    reader.join()
    state._output_fd = os.open(os.devnull, os.O_WRONLY)
    (record,) = found
    assert len(record.text) == limits.PRINT_BYTES_MAX
    assert record.text.endswith(b"x... (cut: one print may have 1048576 bytes)")
    assert state.runtime.output_bytes == limits.PRINT_BYTES_MAX + len("P job-1 0 0 1048576\n")


def read_all(state):
    os.set_blocking(state._output, True)
    parser = OutputParser()
    records = []
    while data := os.read(state._output, 2**20):
        records += parser.feed(data)
    return records


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_full_pipe_only_delays(script, is_blocking):
    state = script("function execute_code() for i = 1, 5000 do print(i, ('y'):rep(100)) end end")
    os.set_blocking(state._output_fd, is_blocking)
    found = []
    reader = threading.Thread(target=lambda: found.extend(read_all(state)))
    reader.start()
    state.call()
    os.close(state._output_fd)
    reader.join()
    state._output_fd = os.open(os.devnull, os.O_WRONLY)
    assert found == [Printed("job-1", 0, 0, b"%d\t" % i + b"y" * 100) for i in range(1, 5001)]


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
    found = []
    reader = threading.Thread(target=lambda: found.extend(read_all(state)))
    reader.start()
    state.call()
    os.close(state._output_fd)
    reader.join()
    state._output_fd = os.open(os.devnull, os.O_WRONLY)
    assert [len(r.text) for r in found] == [2**16 + 1, 3]
