"""What the owner of a node grants."""

from __future__ import annotations

import pytest

from midas_mp.errors import UsageError
from midas_mp.participant.grants import node_permissions
from midas_mp.permissions import OF_TASKS, Grant


def test_folders_are_looked_up_where_the_owner_says_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    granted = node_permissions([Grant("read", "link"), Grant("clock")], ["jit"])
    assert granted.read == (str(tmp_path / "data"),)
    assert (granted.clock, granted.jit) == (True, False)
    assert node_permissions([], []) == OF_TASKS
    with pytest.raises(UsageError, match="there is no such folder"):
        node_permissions([Grant("write", "absent")], [])
