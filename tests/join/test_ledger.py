"""Tokens let in whom they are for, until they expire or are revoked."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from midas_mp.errors import PeerRefused, UsageError
from midas_mp.join import ledger as module
from midas_mp.join.ledger import Ledger
from midas_mp.wire.messages import Role

NOW_S = 1_700_000_000.0


class Clock:
    now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(clock):
    return Ledger(clock)


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        ("participants", {Role.LAUNCHER, Role.BULK}),
        ("clients", {Role.CLIENT, Role.BULK}),
        ("operators", {Role.CLIENT, Role.BULK}),
    ],
)
def test_a_token_is_for_participants_for_clients_or_for_operators(ledger, kind, roles):
    record = ledger.make(kind)
    may_manage = kind == "operators"
    for role in (Role.LAUNCHER, Role.CLIENT, Role.BULK):
        if role in roles:
            assert ledger.look_up(record.id, role) == (record.id, record.secret, may_manage)
        else:
            other = "clients" if role is Role.CLIENT else "participants"
            told = f"is for {kind}: 'midas token new --for {other}' on .* makes one for {other}"
            with pytest.raises(PeerRefused, match=told) as no:
                ledger.look_up(record.id, role)
            assert no.value.refusal == "role"


def test_an_unknown_one_is_told_what_to_do(ledger):
    with pytest.raises(PeerRefused, match=r"knows no token 0123.*'midas token new'") as caught:
        ledger.look_up("0123", Role.CLIENT)
    assert caught.value.refusal == "token"


def test_one_that_expires_is_good_until_then(ledger, clock):
    record = ledger.make("clients", lasts_s=60)
    clock.now_s += 59
    ledger.look_up(record.id, Role.CLIENT)
    clock.now_s += 1
    with pytest.raises(PeerRefused, match=rf"the token {record.id} expired on 20\d\d-"):
        ledger.look_up(record.id, Role.CLIENT)


def test_a_revoked_one_is_told_so_and_its_secret_is_gone(ledger, state_folder):
    record = ledger.make("clients")
    assert ledger.revoke(record.id[:6]).id == record.id
    with pytest.raises(PeerRefused, match="was revoked on"):
        ledger.look_up(record.id, Role.CLIENT)
    assert [known.secret for known in ledger.records()] == [b""]


def test_another_process_sees_it_at_once(ledger, clock):
    other = Ledger(clock)
    record = ledger.make("clients")
    other.look_up(record.id, Role.CLIENT)
    other.revoke(record.id)
    with pytest.raises(PeerRefused, match="was revoked"):
        ledger.look_up(record.id, Role.CLIENT)


def test_what_is_not_clear_is_not_revoked(ledger):
    for _ in range(20):  # of 16 beginnings one comes twice
        ledger.make("clients")
    for beginning in ("", *"0123456789abcdef"):
        records = [r for r in ledger.records() if r.id.startswith(beginning)]
        if len(records) > 1:
            with pytest.raises(UsageError, match="several tokens begin with"):
                ledger.revoke(beginning)
    with pytest.raises(UsageError, match="no token has the id 'x'"):
        ledger.revoke("x")
    assert all(record.revoked_s is None for record in ledger.records())


def test_the_standing_one_is_made_once_and_again_when_it_is_gone(ledger):
    first = ledger.standing("clients", label="host")
    assert ledger.standing("clients", label="host") == first
    assert ledger.standing("participants", label="host") != first
    ledger.revoke(first.id)
    assert ledger.standing("clients", label="host").id != first.id


def waiting_for(path):
    """How many wait for its lock, as the kernel says."""
    number = str(path.stat().st_ino)
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(words[1] == "->" and words[-3].endswith(f":{number}") for words in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells who waits")
def test_hosts_that_start_at_once_share_the_standing_one(ledger, state_folder):
    revoked = ledger.make("clients")
    ledger.revoke(revoked.id)
    path = state_folder / "tokens.lock"
    with path.open("rb") as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hosts = [pool.submit(ledger.standing, "clients", label="host") for _ in range(3)]
        while waiting_for(path) < len(hosts):
            time.sleep(0.001)
        fcntl.flock(lock, fcntl.LOCK_UN)
        (one,) = {host.result() for host in hosts}
    assert [record for record in ledger.records() if record.id != revoked.id] == [one]


def test_revoked_ones_are_forgotten_in_the_end(ledger, monkeypatch):
    monkeypatch.setattr(module, "REVOKED_MAX", 3)
    kept = ledger.make("clients")
    gone = [ledger.make("clients") for _ in range(5)]
    for record in gone:
        ledger.revoke(record.id)
    assert {r.id for r in ledger.records()} == {kept.id, *(r.id for r in gone[-3:])}


def test_the_file_is_nobody_elses(ledger, state_folder):
    ledger.make("clients")
    path = state_folder / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(UsageError, match="open to other users"):
        ledger.records()
    with pytest.raises(PeerRefused, match="the host has a fault"):
        ledger.look_up("0123", Role.CLIENT)


def test_a_damaged_file_is_told(ledger, state_folder):
    record = ledger.make("clients")
    path = state_folder / "tokens.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UsageError, match="is damaged"):
        ledger.records()
    with pytest.raises(PeerRefused, match="is damaged"):
        ledger.look_up(record.id, Role.CLIENT)


def test_it_does_not_grow_for_ever(ledger, monkeypatch):
    monkeypatch.setattr("midas_mp.join.state.FILE_BYTES_MAX", 1_000)
    record = ledger.make("clients")
    with pytest.raises(UsageError, match="too many tokens"):
        ledger.make("clients", label="x" * 1_000)
    assert ledger.records() == [record]


def test_two_processes_that_make_tokens_at_once_lose_none(ledger):
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            for _ in range(5):
                ledger.make("clients")
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert len(ledger.records()) == 20
