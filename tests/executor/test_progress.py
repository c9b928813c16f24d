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
    assert "100%" in said.err
    assert said.out == ""


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="progress must be a function"):
        Progress("yes")
