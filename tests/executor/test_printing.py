"""What calls print."""

from __future__ import annotations

import io
import sys

import pytest

from midas_mp.executor.printing import print_tagged, print_to_stderr


def test_each_line_has_its_worker_before_it(capsys):
    print_to_stderr(7, "lab-000", b"one\ntwo")
    print_to_stderr(7, "lab-001", b"three")
    said = capsys.readouterr()
    assert said.err == "[lab-000] one\n[lab-000] two\n[lab-001] three\n"
    assert said.out == ""


def test_an_empty_line_is_one_too(capsys):
    print_to_stderr(7, "lab-000", b"")
    assert capsys.readouterr().err == "[lab-000] \n"


def test_what_has_no_tag_stands_as_it_is(capsys):
    print_tagged("", b"one\ntwo")
    assert capsys.readouterr().err == "one\ntwo\n"


def test_a_terminal_obeys_nothing_of_it(capsys):
    print_to_stderr(0, "lab-000", b"\x1b[2Jtext \xff\r")
    assert capsys.readouterr().err == "[lab-000] \\x1b[2Jtext \\xff\\r\n"


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed()], ids=["none", "closed"])
def test_a_stderr_that_takes_nothing_is_nobodys_error(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    print_to_stderr(0, "lab-000", b"text\n")
