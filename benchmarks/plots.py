"""The pictures of the report, as SVG."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from benchmarks.rows import RATES, number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.figures import Cell
    from benchmarks.rows import Row

MIDAS, OTHERS, LIMIT = "#d97706", "#64748b", "#0f766e"
HEADLINE = "headline.svg"
HEADLINE_CASES = (
    ("task_overhead", "no-op, one call to a task", "no-op tasks per second, one call to a task"),
    ("automatic_chunks", "a loop of 100 steps, automatic chunks", "small calls per second, mapped"),
    ("round_trip", "one no-op after the other", "one call there and back, µs: shorter is better"),
    ("metg", "METG(50 %), one call to a task", "METG(50 %), µs: shorter is better"),
    ("arrays", "scatter 2 × 64 MB float64", "arrays to the workers, GB/s"),
    ("memory", "one more worker", "memory of one more worker, MB: shorter is better"),
)
"""Question, case, and what is written above it."""

LABEL_WIDTH = 24
"""Characters in a line of a bar's name."""


def draw(
    rows: Mapping[Cell, Row], curves: Mapping[str, list[list[float]]], folder: Path
) -> list[tuple[str, str]]:
    """Draws what there is.

    Returns:
        Title and file name of each.
    """
    folder.mkdir(exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "midas", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False})
    drawn = [("Midas beside the others", HEADLINE)]
    _headline(rows, folder / HEADLINE)
    if curves:
        drawn.append(("Efficiency by task granularity", "granularity.svg"))
        _granularity(curves, folder / "granularity.svg")
    if any(cell[0] == "scaling" for cell in rows):
        drawn.append(("Cores kept busy, by the number of workers", "scaling.svg"))
        _scaling(rows, folder / "scaling.svg")
    return drawn


def _headline(rows: Mapping[Cell, Row], path: Path) -> None:
    figure, axes = plt.subplots(3, 2, figsize=(10, 9.5))
    for axis, (question, case, title) in zip(axes.flat, HEADLINE_CASES, strict=True):
        found = [row for row in rows.values() if row.key == (question, case)]
        if found:
            _bars(axis, found)
        axis.set_title(title, loc="left", fontsize=9)
    figure.supxlabel("logarithmic scales", fontsize=8)
    _save(figure, path)


def _bars(axis: Any, rows: list[Row]) -> None:
    """The best on top; a logarithmic scale, since they are worlds apart."""
    rows = sorted(rows, key=lambda row: row.best, reverse=rows[0].unit not in RATES)
    colours = [
        MIDAS if row.way.startswith("Midas") else LIMIT if row.way.startswith("limit") else OTHERS
        for row in rows
    ]
    names = [textwrap.fill(row.way, LABEL_WIDTH) for row in rows]
    bars = axis.barh(names, [row.best for row in rows], color=colours)
    axis.bar_label(bars, labels=[f" {number(row.best)}" for row in rows], fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.2, y=0.02)
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)


def _granularity(curves: Mapping[str, list[list[float]]], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for way, points in curves.items():
        style = {"linewidth": 2.2} if way.startswith("Midas") else {"linewidth": 1}
        axis.plot(
            [granularity * 1e6 for granularity, _ in points],
            [100 * efficiency for _, efficiency in points],
            marker=".",
            label=way,
            **style,
        )
    axis.axhline(50, color="black", linewidth=0.6, linestyle=":")
    axis.set_xscale("log")
    axis.set_xlabel("task granularity, µs")
    axis.set_ylabel("efficiency, %")
    axis.legend(fontsize=7)
    _save(figure, path)


def _scaling(rows: Mapping[Cell, Row], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(7, 3.2))
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows.values():
        if row.question == "scaling" and row.unit == "cores":
            workers = int(row.case.split()[-2])
            lines.setdefault(row.way, []).append((workers, row.best))
    for way, points in lines.items():
        points.sort()
        axis.plot(*zip(*points, strict=True), marker=".", label=way)
    axis.set_xlabel("workers")
    axis.set_ylabel("cores kept busy")
    axis.legend(fontsize=7)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
