"""Option types that both commands and ``MIDAS_*`` variables understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from midas_mp import limits
from midas_mp.config import TaskCount, TimeLimit, parse_duration, parse_engine, parse_size
from midas_mp.errors import UsageError
from midas_mp.permissions import Grant, parse_kind

T = TypeVar("T")


class Parsed(click.ParamType[T]):
    """A word that one of our parsers reads; its sentence becomes click's."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _parse_workers(text: str) -> int | None:
    """``auto`` is None: one per usable CPU."""
    if text.strip().lower() == "auto":
        return None
    if text.isdecimal() and 1 <= int(text) <= limits.WORKERS_PER_NODE_MAX:
        return int(text)
    raise UsageError(
        f"{text!r} is not a number of workers; write auto, or 1 to {limits.WORKERS_PER_NODE_MAX}"
    )


def _parse_named(text: str) -> tuple[str, str]:
    """``key=value``; the value may be anything, and empty."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
        raise UsageError(f"{text!r} is no argument by name; write it like size=10")
    return key, value


DURATION = Parsed("duration", parse_duration)
ENGINE = Parsed("engine", parse_engine)
GRANT = Parsed("permission", Grant.parse)
KIND = Parsed("kind of permission", parse_kind)
NAMED = Parsed("name=value", _parse_named)
SIZE = Parsed("size", parse_size)
TASKS = Parsed("tasks", TaskCount.parse)
TIME_LIMIT = Parsed("time limit", TimeLimit.parse)
WORKERS = Parsed("workers", _parse_workers)
