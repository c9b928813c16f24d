"""One measured way of one case, as it stands in the ``extra_info`` of pytest-benchmark's JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RATES = {"/s": 1.0, "GB/s": 1e9, "cores": 1.0}
"""More is better: amounts per second; seconds of work per second, that is, cores kept busy."""
TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
"""Less is better: seconds for one."""
SIZES = {"MB": 2.0**20}
"""Less is better, and no time at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came out.

    Attributes:
        question: the file that asked, ``task_overhead``.
        case: what of it; rows of one question and case can be compared.
        way: who did it.
        unit: one of the tables above.
        best: of all rounds.
        median: of all rounds.
        times_midas: Midas against this one, in the same run: 2 says that Midas was twice as good;
            0 as long as it is not known.
        load: of the machine when it was measured, in processes that want to run.
    """

    question: str
    case: str
    way: str
    unit: str
    best: float
    median: float
    times_midas: float = 0.0
    load: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        return self.question, self.case

    @classmethod
    def from_benchmark(cls, entry: Mapping[str, Any]) -> Self | None:
        """None for a benchmark that is no row."""
        info = entry["extra_info"]
        if "way" not in info:
            return None
        return cls(**{field.name: info[field.name] for field in fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def value(unit: str, seconds: float, amount: float) -> float:
    """What so many seconds for so much come to in a unit of RATES or TIMES."""
    if unit in RATES:
        return amount / seconds / RATES[unit]
    return seconds / amount / TIMES[unit]


def one_s(unit: str, value: float) -> float:
    """Seconds for one of what is counted: a task, a gigabyte."""
    return 1 / value if unit in RATES else value * TIMES[unit]


def ratio(better: Row, worse: Row) -> float:
    """How many times as good the first is; below 1 when it is not."""
    if better.unit in RATES:
        return better.best / worse.best
    return worse.best / better.best


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def midas_of(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """The row that others are held against, for each question and case: the first of Midas."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.way.startswith("Midas"):
            found.setdefault(row.key, row)
    return found
