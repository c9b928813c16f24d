"""How far a map is."""

from __future__ import annotations

import pytest

from midas_mp.executor.progress import Progress


def test_a_function_is_told():
    told = []
    progress = Progress(lambda done, total: told.append((done, total)))
    progress.advanced(1, None)
    progress.advanced(2, 2)
    progress.close()
    assert told == [(1, None), (2, 2)]


def test_nobody_is_told_where_nobody_asked(capsys):
    progress = Progress(False)
    progress.advanced(1, 2)
    progress.close()
    assert capsys.readouterr().err == ""


def test_a_bar_is_drawn_on_stderr(capsys):
    progress = Progress(True)
    progress.advanced(1, 2)
    progress.advanced(2, 2)
    progress.close()
    progress.close()
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("2/2 ")
    assert said.out == ""


def test_a_bar_of_nobody_knows_how_many_says_how_many_are_done(capsys):
    progress = Progress(True)
    progress.advanced(7, None)
    progress.close()
    assert capsys.readouterr().err.startswith("7/? ")


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="progress must be a function"):
        Progress("yes")
