"""Whom a host lets in depends on the address where it listens."""

from __future__ import annotations

import socket

import pytest

from midas_mp.errors import UsageError
from midas_mp.join.entrance import make_entrance, name_for_others
from midas_mp.join.identity import own_identity
from midas_mp.join.ledger import Ledger
from midas_mp.join.tls import TlsFiles
from midas_mp.join.token import JoinToken
from midas_mp.transport.address import Address
from midas_mp.wire.messages import Role


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_only_this_users_processes(host, state_folder):
    entrance = make_entrance(Address(host))
    assert entrance.entry.local is not None
    assert (entrance.entry.tls, entrance.entry.tokens, entrance.entry.is_open) == (
        None,
        None,
        False,
    )
    assert entrance.token("clients") is None
    assert [path.name for path in state_folder.iterdir()] == ["secret"]


@pytest.mark.parametrize("host", ["", "0.0.0.0", "192.0.2.1", "example.org"])
def test_elsewhere_whoever_has_a_token_over_tls(host):
    entrance = make_entrance(Address(host))
    entry = entrance.entry
    assert entry.tls is not None
    assert not entry.is_open
    token = JoinToken.parse(entrance.token("participants"))
    assert token.certificate == entry.certificate == own_identity().fingerprint()
    assert entry.tokens.look_up(token.key.id, Role.LAUNCHER) == token.key


def test_tokens_certificate_and_secret_are_the_same_every_time():
    first, again = make_entrance(Address("")), make_entrance(Address(""))
    assert first.token("clients") == again.token("clients")
    assert first.token("clients") != first.token("participants")
    assert len(Ledger().records()) == 2


def test_a_site_brings_its_own_certificate_on_any_address(tmp_path):
    path = tmp_path / "site.pem"
    path.write_bytes(own_identity().certificate.read_bytes())
    entrance = make_entrance(Address(), tls=TlsFiles(path, authority=path))
    assert entrance.entry.certificate == own_identity().fingerprint()
    assert entrance.identity.certificate == path


def test_insecure_lets_everybody_in():
    entry = make_entrance(Address(""), is_insecure=True).entry
    assert entry.is_open
    assert entry.tls is None


@pytest.mark.parametrize(
    ("tls", "is_insecure", "fault"),
    [
        (TlsFiles("cert.pem"), True, "--insecure goes without certificates"),
        (TlsFiles(authority="ca.pem"), False, "--tls-ca of a host goes with --tls-cert"),
    ],
)
def test_what_makes_no_sense_is_told(tls, is_insecure, fault):
    with pytest.raises(UsageError, match=fault):
        make_entrance(Address(""), tls=tls, is_insecure=is_insecure)


def test_no_place_for_secrets_is_told_at_the_start(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.raises(UsageError, match="cannot keep secrets"):
        make_entrance(Address())


def test_others_are_told_a_name_that_leads_here(monkeypatch):
    assert name_for_others(Address("10.0.0.7", 3000)) == "10.0.0.7:3000"
    assert name_for_others(Address("", 3000)) != ":3000"
    assert not name_for_others(Address("0.0.0.0", 3000)).startswith("0.0.0.0")

    def unreachable(*_):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert name_for_others(Address("", 3000)) == f"{socket.gethostname()}:3000"
