"""What workers do in Python; ``work.lua`` has the same by the same names.

Imported by the workers of all libraries, so it imports nothing that is slow or optional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ELEMENTS_PER_PAGE = 512
"""Of 8 bytes, in a page of 4 KiB."""


def identity(value: Any) -> Any:
    return value


def add_up(value: int) -> int:
    """A loop of a hundred steps."""
    total = 0
    for i in range(1, 101):
        total += i * value
    return total


def spin(steps: int) -> float:
    """As much arithmetic as wanted: the kernel of METG."""
    x = 0.5
    for _ in range(steps):
        x = x * 0.999999 + 1e-6
    return x


def touch(array: np.ndarray) -> float:
    """The sum of the first elements of all pages."""
    return float(array[::ELEMENTS_PER_PAGE].sum())


def fill(length: int) -> np.ndarray:
    """A new array, each element written."""
    import numpy as np

    return np.full(length, 1.5)


def mark(record: dict[str, Any]) -> dict[str, Any]:
    """Touches what came and sends it back."""
    record["marked"] = True
    return record
