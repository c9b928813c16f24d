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
from typing import Any

from benchmarks.figures import FIGURES, Cell, Verdict, best_verdict
from benchmarks.rows import RATES, Row, number

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
    for question in _ordered(row.question for run in runs for row in run.rows.values()):
        parts += [f"## {question.replace('_', ' ').capitalize()}", _asked(question)]
        parts += _tables(question, runs)
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
        f"{', '.join(run.date for run in runs)} UTC, commit {runs[-1].commit}; "
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


def _tables(question: str, runs: list[Run]) -> list[str]:
    cases = _ordered(cell[1] for run in runs for cell in run.rows if cell[0] == question)
    return [_table(question, case, runs) for case in cases]


def _table(question: str, case: str, runs: list[Run]) -> str:
    ways = _ordered(cell[2] for run in runs for cell in run.rows if cell[:2] == (question, case))
    lines = []
    for way in ways:
        rows = [run.rows[question, case, way] for run in runs if (question, case, way) in run.rows]
        best = (max if rows[0].unit in RATES else min)(rows, key=lambda row: row.best)
        times = f"{number(best.times_midas)}" if best.times_midas else ""
        lines.append((best, f"| {way} | {number(best.best)} | {number(best.median)} | {times} |"))
    unit = lines[0][0].unit
    lines.sort(key=lambda line: line[0].best, reverse=unit in RATES)
    head = [f"**{case}**, {unit}", "", "| | best | median | × Midas |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *(line for _, line in lines)])


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
    pictures = plots.draw(runs[-1].rows, runs[-1].curves, options.output / "results")
    (options.output / "RESULTS.md").write_text(page(runs, pictures))
    print(options.output / "RESULTS.md")


if __name__ == "__main__":
    main()
