"""Connections that only remember what becomes of the memory that their ends share."""

from __future__ import annotations

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


@pytest.fixture
def make_owner() -> type[Owner]:
    return Owner
