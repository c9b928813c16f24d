"""What the report of the benchmarks says of saved runs."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def row(rows, way, best, *, unit="/s", case="no-op, one call to a task", question="task_overhead"):
    return rows.Row(question, case, way, unit, best, best)


def test_a_ratio_is_above_one_for_the_better_of_two(load):
    rows = load("rows")
    assert rows.ratio(row(rows, "a", 300), row(rows, "b", 100)) == 3
    fast, slow = row(rows, "a", 20, unit="µs"), row(rows, "b", 80, unit="µs")
    assert rows.ratio(fast, slow) == 4


@pytest.mark.parametrize(
    ("unit", "seconds", "amount", "expected"),
    [("/s", 0.5, 100, 200), ("GB/s", 2, 4e9, 2), ("µs", 0.5, 100, 5000), ("s", 3, 1, 3)],
)
def test_a_value_and_the_seconds_for_one_of_it(load, unit, seconds, amount, expected):
    rows = load("rows")
    value = rows.value(unit, seconds, amount)
    assert value == pytest.approx(expected)
    counted = amount / rows.RATES.get(unit, 1)
    assert rows.one_s(unit, value) == pytest.approx(seconds / counted)


def cells(rows, *all_rows):
    return {(one.question, one.case, one.way): one for one in all_rows}


def test_a_figure_is_held_against_the_best_of_the_others(load):
    rows, figures = load("rows"), load("figures")
    figure = figures.Figure("", ("task_overhead", "no-op, one call to a task", "m"), 5, ("a", "b"))
    run = cells(rows, row(rows, "m", 600), row(rows, "a", 100), row(rows, "b", 200))
    verdict = figures.verdict(figure, run)
    assert (verdict.came_to, verdict.other.way) == (3, "b")
    assert not verdict.is_reached
    assert figures.verdict(replace(figure, others=("a",)), run).is_reached


def test_a_bound_is_reached_from_below(load):
    rows, figures = load("rows"), load("figures")
    figure = figures.Figure("", ("task_overhead", "no-op, one call to a task", "m"), 30)
    for best, is_reached in ((29, True), (31, False)):
        verdict = figures.verdict(figure, cells(rows, row(rows, "m", best, unit="µs")))
        assert (verdict.came_to, verdict.is_reached) == (best, is_reached)


def test_nothing_is_said_where_a_row_is_missing(load):
    rows, figures = load("rows"), load("figures")
    figure = figures.Figure("", ("task_overhead", "no-op, one call to a task", "m"), 5, ("a",))
    assert figures.verdict(figure, {}) is None
    assert figures.verdict(figure, cells(rows, row(rows, "m", 600))) is None


def test_of_several_runs_the_best_ratio_within_one_counts(load):
    rows, figures = load("rows"), load("figures")
    figure = figures.Figure("", ("task_overhead", "no-op, one call to a task", "m"), 5, ("a",))
    slow = cells(rows, row(rows, "m", 60), row(rows, "a", 10))
    fast = cells(rows, row(rows, "m", 100), row(rows, "a", 50))
    assert figures.best_verdict(figure, [slow, fast]).came_to == 6


def test_of_several_runs_each_row_shows_its_best(load):
    rows, report = load("rows"), load("report")
    runs = [
        report.Run({}, "", "", cells(rows, row(rows, "a", first), row(rows, "b", 5)), {}, [])
        for first in (10, 30, 20)
    ]
    assert [one.best for one in report.best_rows(runs).values()] == [30, 5]


def test_every_figure_is_about_a_question_that_exists(load):
    for figure in load("figures").FIGURES:
        assert (ROOT / "benchmarks" / f"test_{figure.of[0]}.py").is_file()


def test_metg_lies_where_the_curve_crosses_a_half(load):
    granularity = load("granularity")
    point = granularity.Point
    falling = [point(4e-4, 0.9), point(1e-4, 0.6), point(1e-6, 0.4), point(1e-7, 0.1)]
    assert granularity.metg_s(falling) == pytest.approx(1e-5)
    with pytest.raises(ValueError, match="does not cross 50%"):
        granularity.metg_s(falling[:2])


class Simulated:
    """A way that needs so many seconds for a task besides its steps; its clock is its own."""

    def __init__(self, overhead_s, slow_at_first_s=0.0):
        self._overhead_s = overhead_s
        self._slow_s = slow_at_first_s

    def timed(self, _method, _name, tasks):
        seconds = sum(steps * 1e-8 + self._overhead_s for steps in tasks) / 2 + self._slow_s
        self._slow_s = 0.0
        return seconds, None


def test_a_sweep_finds_the_granularity_of_a_way_whose_overhead_is_known(load):
    granularity = load("granularity")
    points = granularity.sweep(Simulated(50e-6), 2)
    assert granularity.metg_s(points) == pytest.approx(100e-6, rel=0.05)


def test_efficiency_is_never_above_the_peak(load):
    points = load("granularity").sweep(Simulated(50e-6, slow_at_first_s=1.0), 2, rounds=1)
    assert max(point.efficiency for point in points) == 1


def test_the_page_tells_what_was_measured_and_what_was_not(load, tmp_path):
    rows, report = load("rows"), load("report")
    measured = [
        replace(row(rows, "Midas Executor", 110_000), times_midas=1.0),
        replace(row(rows, "multiprocessing.Pool", 20_000), times_midas=5.5),
    ]
    machine = {"quick": False, "processor": "abacus", "cores": 2, "memory_gb": 8, "load": 0.5}
    machine |= {"kernel": "6.1", "python": "3.11", "versions": {"ray": "not installed"}}
    saved = {
        "machine_info": {"midas": machine},
        "datetime": "2026-01-02T03:04:05",
        "commit_info": {"id": "0123456789abcdef"},
        "benchmarks": [{"extra_info": one.as_dict()} for one in measured],
        "not_measured": [
            {"question": "metg", "test": "test_metg[ray]", "reason": "ray is not installed"},
        ],
    }
    path = tmp_path / "run.json"
    path.write_text(json.dumps(saved), encoding="utf-8")
    page = report.page([report.read(path)], [("Picture", "picture.svg")])
    reached = "Pool.imap | 5.5 \N{MULTIPLICATION SIGN} | reached |"
    assert f"{reached} 110,000/s; multiprocessing.Pool: 20,000 |" in page
    assert "| METG(50 %), chunksize=1: ≤ 30 µs | | not measured | |" in page
    assert "| multiprocessing.Pool | 20,000 | 20,000 | 5.5 |" in page
    assert "- metg, test_metg[ray]: ray is not installed" in page
    assert "![Picture](results/picture.svg)" in page
    assert "abacus, 2 cores" in page
