"""Connections that only remember what becomes of the memory that their ends share."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from midas_mp.errors import MidasError
from midas_mp.wire.framing import LinkedPort


class Owner:
    """A ``PortOwner``; it refers and resolves for the test."""

    def __init__(self) -> None:
        self.ports: list[LinkedPort] = []
        self.errors: list[MidasError] = []

    def share(self, port: LinkedPort) -> None:
        self.ports.append(port)

    def port_failed(self, error: MidasError) -> None:
        self.errors.append(error)


@contextlib.contextmanager
def _no_more_files() -> Iterator[None]:
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def no_more_files() -> Callable[[], AbstractContextManager[None]]:
    """``with no_more_files():`` this process may open no file."""
    return _no_more_files


@pytest.fixture
def make_owner() -> type[Owner]:
    return Owner
