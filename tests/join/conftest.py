"""A folder for secrets of the test's own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch):
    """Where they are kept once there is one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "midas"
