"""How far a map or a script is: told to a function of the user's, or drawn as a bar."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

Told = Callable[[int, int | None], object]
"""Called with how many are done, and of how many: None where that is not known."""


class Progress:
    """What ``progress=`` asks for.

    Args:
        asked: a function; True for a bar on stderr; False for nothing.
    """

    def __init__(self, asked: Told | bool) -> None:  # noqa: FBT001 - the user's own words
        self._tell: Told | None = None
        self._bar: Bar | None = None
        self._task: TaskID
        if asked is True:
            self._tell = self._draw
        elif asked is not False:
            if not callable(asked):
                raise TypeError(f"progress must be a function, True or False, not {asked!r}")
            self._tell = asked

    def advanced(self, done: int, total: int | None) -> None:
        if self._tell is not None:
            self._tell(done, total)

    def close(self) -> None:
        """Leaves the bar as it is; idempotent."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._task = self._bar.add_task("", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    # a notebook needs ipywidgets to draw it live; without, its last state is text like any other
    in_notebook = None if importlib.util.find_spec("ipywidgets") is not None else False
    return Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, force_jupyter=in_notebook),
    )
