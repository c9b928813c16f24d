"""``python -m benchmarks.report FILE.json…``: RESULTS.md and its plots from saved runs.

Says nothing that is not in the files.  With several of them each row shows the best, and ratios
are those within one run.
"""

from __future__ import annotations

import argparse
import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import FIGURES, Cell, Verdict, best_verdict
from benchmarks.rows import RATES, Row, number, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """One saved file."""

    machine: dict[str, Any]
    date: str
    commit: str
    rows: dict[Cell, Row]
    curves: dict[str, list[list[float]]]
    not_measured: list[dict[str, str]]


def read(path: Path) -> Run:
    """Raises KeyError or ValueError when it is no file of this suite."""
    data = json.loads(path.read_text())
    rows: dict[Cell, Row] = {}
    curves: dict[str, list[list[float]]] = {}
    for entry in data["benchmarks"]:
        row = Row.from_benchmark(entry)
        if row:
            rows[(row.question, row.case, row.way)] = row
            if "curve" in entry["extra_info"]:
                curves[row.way] = entry["extra_info"]["curve"]
    return Run(
        data["machine_info"]["midas"],
        data["datetime"][:16].replace("T", " "),
        data["commit_info"].get("id", "")[:10],
        rows,
        curves,
        data["not_measured"],
    )


def best_rows(runs: Sequence[Run]) -> dict[Cell, Row]:
    """Of several runs each row's best."""
    found: dict[Cell, Row] = {}
    for run in runs:
        for cell, row in run.rows.items():
            other = found.get(cell)
            if other is None or ratio(row, other) > 1:
                found[cell] = row
    return found


def page(runs: list[Run], plots: list[tuple[str, str]]) -> str:
    """All of RESULTS.md."""
    parts = [
        "# Where Midas stands",
        (
            "Written by `python -m benchmarks.report` from saved runs of `pytest benchmarks`; "
            "[`benchmarks/`](.) says what each question is.\n"
            "Best of all rounds, the median beside it; *× Midas* tells how many times as good "
            "Midas was in the same run (below 1: the other one was better)."
        ),
        _machine(runs),
        "## Figures to reach",
        _figures(runs),
    ]
    parts += [f"![{title}](results/{name})" for title, name in plots]
    rows = best_rows(runs)
    for question in _ordered(question for question, _, _ in rows):
        parts += [f"## {question.replace('_', ' ').capitalize()}", _asked(question)]
        parts += _tables(question, rows)
    parts += ["## Not measured", _not_measured(runs)]
    return "\n\n".join(parts) + "\n"


def _machine(runs: list[Run]) -> str:
    machine = runs[-1].machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    loads = [row.load for run in runs for row in run.rows.values()]
    warning = "**A quick run: its times mean nothing.**\n\n" if machine["quick"] else ""
    return (
        f"{warning}{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Linux {machine['kernel']}, Python {machine['python']}; "
        f"{', '.join(f'{run.date} UTC at commit {run.commit}' for run in runs)}; "
        f"load average {min(loads):.1f} to {max(loads):.1f} while it was measured.\n\n{versions}."
    )


def _figures(runs: list[Run]) -> str:
    lines = ["| to reach | came to | | measured |", "|---|---:|---|---|"]
    for figure in FIGURES:
        found = best_verdict(figure, [run.rows for run in runs])
        if found is None:
            lines.append(f"| {figure.says} | | not measured | |")
            continue
        told = number(found.came_to)
        if found.other is None:
            told += f" {found.mine.unit}"
        else:
            told = f"{told} ×" if figure.factor >= 0.8 else f"1 / {number(1 / found.came_to)}"
        reached = "reached" if found.is_reached else "missed"
        lines.append(f"| {figure.says} | {told} | {reached} | {_measured(found)} |")
    return "\n".join(lines)


def _measured(found: Verdict) -> str:
    """The two values of a ratio."""
    if found.other is None:
        return ""
    unit = found.mine.unit
    apart = "" if unit.startswith("/") else " "
    return f"{number(found.mine.best)}{apart}{unit}; {found.other.way}: {number(found.other.best)}"


def _tables(question: str, rows: Mapping[Cell, Row]) -> list[str]:
    cases = _ordered(cell[1] for cell in rows if cell[0] == question)
    return [_table([row for row in rows.values() if row.key == (question, case)]) for case in cases]


def _table(rows: list[Row]) -> str:
    unit = rows[0].unit
    lines = [f"**{rows[0].case}**, {unit}", "", "| | best | median | × Midas |"]
    lines.append("|---|---:|---:|---:|")
    for row in sorted(rows, key=lambda row: row.best, reverse=unit in RATES):
        times = number(row.times_midas) if row.times_midas else ""
        lines.append(f"| {row.way} | {number(row.best)} | {number(row.median)} | {times} |")
    return "\n".join(lines)


def _asked(question: str) -> str:
    """What the file of a question says of itself."""
    source = (FOLDER / f"test_{question}.py").read_text()
    return ast.get_docstring(ast.parse(source)) or ""


def _not_measured(runs: list[Run]) -> str:
    lines = _ordered(
        f"- {miss['question']}, {miss['test']}: {miss['reason']}"
        for run in runs
        for miss in run.not_measured
    )
    return "\n".join(lines) or "Nothing was left out."


def _ordered(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="from --benchmark-json")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where RESULTS.md goes")
    options = parser.parse_args()
    from benchmarks import plots  # matplotlib is slow

    runs = [read(path) for path in options.files]
    rows = best_rows(runs)
    curves = {way: curve for run in runs for way, curve in run.curves.items()}
    pictures = plots.draw(rows, curves, options.output / "results")
    (options.output / "RESULTS.md").write_text(page(runs, pictures))
    print(options.output / "RESULTS.md")


if __name__ == "__main__":
    main()
