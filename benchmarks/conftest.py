"""Options, fixtures, and what goes into the JSON besides times."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # the workers of all libraries import benchmarks.work

from benchmarks import machine  # noqa: E402 - the path comes first
from benchmarks.clock import CLOCK  # noqa: E402
from benchmarks.rows import RATES, Row, midas_of, one_s, ratio, value  # noqa: E402
from benchmarks.ways import WAYS  # noqa: E402
from benchmarks.ways.way import Way  # noqa: E402
from benchmarks.yard import Yard  # noqa: E402

TIMEOUT_S = 600

NOT_MEASURED = pytest.StashKey[list[dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="everything once and in little, to see that it works; its times mean nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_MEASURED] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One way after the other, so that each is started once in a file; once at all if quick."""
    names = list(WAYS)

    def order(item: pytest.Item) -> tuple[str, int]:
        name = item.callspec.params.get("way", "") if hasattr(item, "callspec") else ""
        place = names.index(name) if name in names else -1
        return ("" if config.getoption("quick") else item.path.name, place)

    items.sort(key=order)
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=CLOCK))
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))
        item.add_marker(pytest.mark.filterwarnings("ignore"), append=False)  # of other libraries


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("quick"))


@pytest.fixture(scope="session")
def yard() -> Iterator[Yard]:
    yard = Yard()
    yield yard
    yard.close()


@pytest.fixture
def way(request: pytest.FixtureRequest, yard: Yard) -> Way:
    """A way with two warm workers, by the name that the test is parametrised with."""
    return yard.ready(request.param)


Record = Callable[..., Row]


@pytest.fixture
def record(benchmark: Any, request: pytest.FixtureRequest, quick: bool) -> Record:
    """Measures and writes down a row: see ``write``."""

    def write(
        way: str,
        case: str,
        run: Callable[[], float],
        *,
        unit: str,
        amount: float = 1.0,
        rounds: int = 5,
    ) -> Row:
        """Runs it a few times, each of which returns its seconds, for an amount of work.

        pytest-benchmark is told the seconds for one, so that its table compares what can be
        compared: ways need not do the same amount.
        """
        values: list[float] = []

        def one_round() -> None:
            values.append(value(unit, run(), amount))
            CLOCK.seconds += one_s(unit, values[-1])

        load = os.getloadavg()[0]
        benchmark.group = f"{_question(request)}: {case}"
        benchmark.pedantic(one_round, rounds=1 if quick else rounds)
        best = max(values) if unit in RATES else min(values)
        row = Row(_question(request), case, way, unit, best, statistics.median(values), load=load)
        benchmark.extra_info.update(row.as_dict())
        return row

    return write


@pytest.fixture
def record_size(benchmark: Any, request: pytest.FixtureRequest) -> Record:
    """Writes down a row that is no time: megabytes."""

    def write(way: str, case: str, size_mb: float) -> Row:
        benchmark.group = f"{_question(request)}: {case}"
        benchmark.pedantic(lambda: None, rounds=1)
        row = Row(_question(request), case, way, "MB", size_mb, size_mb, load=os.getloadavg()[0])
        benchmark.extra_info.update(row.as_dict())
        return row

    return write


def _question(request: pytest.FixtureRequest) -> str:
    return request.path.stem.removeprefix("test_")


# -- what goes into the JSON ---------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A way that is missing is told by name, and so is one that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pytest types it as None
    if report.passed or call.excinfo is None:
        return
    told = call.excinfo.value
    reason = str(told) if report.skipped else f"failed: {told!r}"
    item.config.stash[NOT_MEASURED].append(
        {"question": item.path.stem.removeprefix("test_"), "test": item.name, "reason": reason}
    )


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    machine_info["midas"] = machine.about(quick=config.getoption("quick"))


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Ratios are those of one run, so they are made here and not from several files."""
    entries = output_json["benchmarks"]
    rows = [row for entry in entries if (row := Row.from_benchmark(entry))]
    midas = midas_of(rows)
    for entry in entries:
        row = Row.from_benchmark(entry)
        if row and row.key in midas:
            entry["extra_info"]["times_midas"] = ratio(midas[row.key], row)
    output_json["not_measured"] = config.stash[NOT_MEASURED]
