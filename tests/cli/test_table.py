"""Columns."""

from __future__ import annotations

from midas_mp.cli.table import table


def test_columns_are_as_wide_as_they_must_be() -> None:
    shown = table(("name", "n"), [("a", 1), ("longer", 100)])
    assert shown.splitlines() == ["name    n", "a       1", "longer  100"]


def test_nothing_breaks_out_of_its_line() -> None:
    assert table(("a", "b"), [("x\ny", "\x1b[2J")]).splitlines() == ["a     b", "x\\ny  \\x1b[2J"]
