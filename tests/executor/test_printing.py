"""What calls and scripts print."""

from __future__ import annotations

import contextvars
import io
import sys
import threading

import pytest

from midas_mp.executor.printing import Printer, print_tagged


def test_each_line_of_a_call_has_its_worker_before_it(capsys):
    printer = Printer()
    printer.print_of_call(7, "lab-000", b"one\ntwo")
    printer.print_of_call(7, "lab-001", b"three")
    said = capsys.readouterr()
    assert said.err == "[lab-000] one\n[lab-000] two\n[lab-001] three\n"
    assert said.out == ""


def test_a_task_of_a_script_has_its_number_too(capsys):
    printer = Printer()
    printer.print_of_script(7, "lab-000", b"one")
    printer.print_of_script(0, "", b"of the script itself")
    assert capsys.readouterr().err == "[7 lab-000] one\nof the script itself\n"


def test_an_empty_line_is_one_too(capsys):
    print_tagged("lab-000", b"")
    assert capsys.readouterr().err == "[lab-000] \n"


def test_a_terminal_obeys_nothing_of_it(capsys):
    print_tagged("lab-000", b"\x1b[2Jtext \xff\r")
    assert capsys.readouterr().err == "[lab-000] \\x1b[2Jtext \\xff\\r\n"


CELL = contextvars.ContextVar("CELL", default="none")


class Notebook(io.StringIO):
    """Knows which cell wrote, as those of notebooks do."""

    def write(self, text):
        return super().write(f"{CELL.get()}: {text}")


def test_what_is_printed_belongs_to_whoever_called_last(monkeypatch):
    stream = Notebook()
    monkeypatch.setattr(sys, "stderr", stream)
    printer = Printer()

    def in_cell(name, what):
        CELL.set(name)
        what()

    def in_thread():
        thread = threading.Thread(target=printer.print_of_call, args=(0, "w", b"text"))
        thread.start()
        thread.join()

    in_thread()
    for name in ("first", "second"):
        contextvars.copy_context().run(in_cell, name, printer.called)
        in_thread()
    assert stream.getvalue() == "none: [w] text\nfirst: [w] text\nsecond: [w] text\n"


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed()], ids=["none", "closed"])
def test_a_stderr_that_takes_nothing_is_nobodys_error(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    print_tagged("lab-000", b"text")
