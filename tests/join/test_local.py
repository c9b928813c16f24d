"""Processes of one user know each other, and nobody else does."""

from __future__ import annotations

import pytest

from midas_mp.errors import PeerRefused, UsageError
from midas_mp.join.local import LocalKeyring, local_key
from midas_mp.wire.messages import Role


def test_the_secret_is_made_once():
    assert local_key() == local_key()
    assert len(local_key().secret) == 32


@pytest.mark.parametrize("role", [Role.LAUNCHER, Role.CLIENT, Role.BULK])
def test_who_knows_it_gets_in_in_any_role(role):
    assert LocalKeyring("bring one").look_up(local_key().id, role) == local_key()


def test_another_user_is_told_whose_host_it_is(monkeypatch, tmp_path, state_folder):
    ours = local_key()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert local_key() != ours
    with pytest.raises(
        PeerRefused, match=r"this host is user .*'s, and lets in here only .*; bring one"
    ) as caught:
        LocalKeyring("bring one").look_up(ours.id, Role.LAUNCHER)
    assert caught.value.refusal == "user"


def test_a_user_without_a_name_has_a_number(monkeypatch):
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(PeerRefused, match=r"this host is user \d+'s"):
        LocalKeyring("bring one").look_up("00", Role.CLIENT)


def test_a_damaged_secret_is_told_to_both(state_folder):
    local_key()
    (state_folder / "secret").write_bytes(b"short")
    with pytest.raises(UsageError, match="is damaged: remove it"):
        local_key()
    with pytest.raises(PeerRefused, match=r"the host has a fault: .*is damaged"):
        LocalKeyring("bring one").look_up("00", Role.CLIENT)
