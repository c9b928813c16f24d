"""Who is not let in hears why in one line, at once, and so does the host; whatever the command."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

import pytest

from midas_mp import Access, Executor
from midas_mp.cli.commands import run_command
from midas_mp.errors import PeerRefused
from midas_mp.join.identity import Identity, own_identity
from midas_mp.join.ledger import Ledger
from midas_mp.join.token import JoinToken

OF_ANOTHER_VERSION = """
import sys
import midas_mp.wire.messages as messages
messages.PROTOCOL_VERSION = 999
from midas_mp.__main__ import main
sys.exit(main())
"""

LOOPBACK = "127.0.0.1:0"
EVERYWHERE = "0.0.0.0:0"
OTHERS = {"participants": "clients", "clients": "participants"}


def files(site, name, authority):
    """Options, for what a side shows and whom it trusts."""
    shown = {"--tls-cert": f"{name}.pem", "--tls-key": f"{name}.key"} if name else {}
    trusted = {"--tls-ca": f"{authority}.pem"} if authority else {}
    return [str(w) for opt, file in (shown | trusted).items() for w in (opt, site / file)]


def start_host(commands, env, *options, address=LOOPBACK, command=()):
    words = ["host", "--address", address, *options]
    host = commands.start(*words, env=env, **({"command": command} if command else {}))
    port = host.wait_for(r"listening on .*:(\d+)")[1]
    return host, f"127.0.0.1:{port}"


HOSTS = {
    "plain": lambda commands, env, _: start_host(commands, env),
    "of tokens": lambda commands, env, _: start_host(commands, env, address=EVERYWHERE),
    "of another version": lambda commands, env, _: start_host(
        commands, env, address=EVERYWHERE, command=(sys.executable, "-c", OF_ANOTHER_VERSION)
    ),
    "insecure": lambda commands, env, _: start_host(commands, env, "--insecure"),
    "of a site": lambda commands, env, site: start_host(commands, env, *files(site, "host", "ca")),
    "expired": lambda commands, env, site: start_host(commands, env, *files(site, "expired", None)),
    "elsewhere": lambda commands, env, site: start_host(
        commands, env, *files(site, "elsewhere", None)
    ),
    "strange": lambda commands, env, site: start_host(
        commands, env, *files(site, "stranger", None)
    ),
}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Of the user of the hosts, who is none of those that come."""
    return {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}


@pytest.fixture(scope="module")
def hosts(standing_commands, state, site):
    """Each is started when it is first asked for."""
    started = {}

    def find(name):
        if name not in started:
            started[name] = HOSTS[name](standing_commands, state, site)
        return started[name]

    return find


# -- what those who come may bring: the text of a token for ``kind``, or none ----------------------


def no_token(_kind, _certificate):
    return None


def good(kind, certificate):
    return JoinToken(Ledger().make(kind).secret, certificate).text


def of_other_role(kind, certificate):
    return good(OTHERS[kind], certificate)


def expired(kind, certificate):
    return JoinToken(Ledger(lambda: 1e9).make(kind, lasts_s=60).secret, certificate).text


def revoked(kind, certificate):
    record = Ledger().make(kind)
    Ledger().revoke(record.id)
    return JoinToken(record.secret, certificate).text


def forged(_kind, certificate):
    return JoinToken(b"x" * 32, certificate).text


def of_another_host(kind, _certificate):
    return good(kind, b"x" * 32)


class Case(NamedTuple):
    """Who comes where, and what each side says of it."""

    host: str
    token: object
    peer_says: str
    host_says: str
    name: str | None = None
    """Of the certificate that the peer shows."""
    authority: str | None = None
    """By which it verifies the host's."""
    options: tuple[str, ...] = ()


UNVERIFIED = "it hung up in the middle of the TLS handshake, as who does not trust the host's"

CASES = {
    "unknown token": Case("of tokens", forged, "knows no token", "knows no token"),
    "token for others": Case(
        "of tokens", of_other_role, "is for .*: 'midas token new --for", "is for .*: 'midas token"
    ),
    "expired token": Case("of tokens", expired, "expired on 2001-", "expired on 2001-"),
    "revoked token": Case("of tokens", revoked, "was revoked on", "was revoked on"),
    "token of another host": Case(
        "of tokens",
        of_another_host,
        "is not the one that this token names",
        "the peer does not trust this host: its certificate is not the one",
    ),
    "another version": Case(
        "of another version",
        good,
        r"the peer speaks protocol \d+, this host speaks protocol 999: upgrade midas_mp",
        r"the peer speaks protocol \d+, this host speaks protocol 999: upgrade midas_mp",
    ),
    "another version, in plain": Case(
        "insecure", good, "listens there without TLS", "it speaks TLS, which this host does not"
    ),
    "TLS at a plain port": Case(
        "plain", good, "listens there without TLS", "it speaks TLS, which this host does not"
    ),
    "no TLS, another user": Case(
        "of tokens",
        no_token,
        "lets in here only processes of that user, .*; others set MIDAS_TOKEN",
        "lets in here only processes of that user",
    ),
    "no TLS, another user, plain host": Case(
        "plain",
        no_token,
        "lets in here only processes of that user, .* it can listen at an address of the network",
        "lets in here only processes of that user",
    ),
    "proof, insecure host": Case(
        "insecure",
        no_token,
        "lets in here only processes of that user, .*; others say --insecure",
        "lets in here only processes of that user",
    ),
    "no proof": Case(
        "of tokens",
        no_token,
        "leave --insecure out",
        "it proves nothing, as with --insecure",
        options=("--insecure",),
    ),
    "no certificate": Case(
        "of a site",
        good,
        r"the host wants a certificate \(--tls-cert\)",
        "the peer showed no certificate, which --tls-ca demands",
        authority="ca",
    ),
    "a stranger's certificate": Case(
        "of a site",
        good,
        "does not trust the certificate's authority",
        r"the certificate cannot be verified \(self-signed",
        "stranger",
        "ca",
    ),
    "expired certificate": Case(
        "of a site",
        good,
        "finds that the certificate has expired",
        r"the certificate cannot be verified \(certificate has expired",
        "expired",
        "ca",
    ),
    "host's certificate expired": Case(
        "expired",
        good,
        r"the certificate cannot be verified \(certificate has expired",
        UNVERIFIED,
        authority="ca",
    ),
    "host's certificate for another machine": Case(
        "elsewhere",
        good,
        r"the certificate cannot be verified \(IP address mismatch",
        UNVERIFIED,
        authority="ca",
    ),
    "host's certificate of a stranger": Case(
        "strange",
        good,
        r"the certificate cannot be verified \(self-signed",
        UNVERIFIED,
        authority="ca",
    ),
}

CERTIFICATES = {
    "of a site": "host",
    "expired": "expired",
    "elsewhere": "elsewhere",
    "strange": "stranger",
}
"""Of those hosts that have none of their own."""


class Visit:
    """One case, with all that those need who come."""

    def __init__(self, case, hosts, state, site):
        self.case = case
        self.host, self.where = hosts(case.host)
        self.options = [*files(site, case.name, case.authority), *case.options]
        with pytest.MonkeyPatch.context() as patch:  # as the user of the host
            patch.setenv("XDG_STATE_HOME", state["XDG_STATE_HOME"])
            name = CERTIFICATES.get(case.host)
            own = Identity(site / f"{name}.pem") if name else own_identity()
            self.tokens = {kind: case.token(kind, own.fingerprint()) for kind in OTHERS}
        self.access = Access(
            token=self.tokens["clients"],
            tls_cert=site / f"{case.name}.pem" if case.name else None,
            tls_key=site / f"{case.name}.key" if case.name else None,
            tls_ca=site / f"{case.authority}.pem" if case.authority else None,
            is_insecure="--insecure" in case.options,
        )

    def environment(self, kind):
        return {"MIDAS_TOKEN": self.tokens[kind]} if self.tokens[kind] else {}

    def refused(self):
        """How often the host has said so."""
        return len(re.findall(self.sentence, self.host.err))

    @property
    def sentence(self):
        return rf"midas: 127\.0\.0\.1:\d+ was refused: .*{self.case.host_says}"

    def check(self, code, text, before):
        """It ended so and said that, after the host had refused so many."""
        assert code == 3
        (line,) = [line for line in text.splitlines() if re.search(self.case.peer_says, line)]
        assert line.startswith("midas: ")
        self.host.wait_for(self.sentence, count=before + 1)
        assert "Traceback" not in text + self.host.err


@pytest.fixture(params=CASES)
def visit(request, hosts, state, site):
    return Visit(CASES[request.param], hosts, state, site)


def test_a_participant_is_told_why_and_ends(start, visit):
    before = visit.refused()
    words = ["--address", visit.where, "--workers", "1", *visit.options]
    node = start("participant", *words, env=visit.environment("participants")).wait()
    visit.check(node.code, node.err, before)
    others = node.err.replace("midas: tasks may use", "").splitlines()
    assert len([line for line in others if "warning: --insecure" not in line]) == 2


@pytest.mark.parametrize(
    "visit",
    ["unknown token", "another version", "no TLS, another user", "no certificate"],
    indirect=True,
)
def test_who_runs_a_script_is_told_why(midas, visit, script):
    before = visit.refused()
    words = [script(), "--address", visit.where, *visit.options]
    ended = midas("run", *words, env=visit.environment("clients"))
    visit.check(ended.code, ended.err, before)
    assert ended.out == ""


def test_who_asks_a_host_something_is_told_why(capfd, monkeypatch, visit):
    """In this process: the commands dial in one way."""
    before = visit.refused()
    for name, value in visit.environment("clients").items():
        monkeypatch.setenv(name, value)
    code = run_command(["workers", "--address", visit.where, *visit.options])
    said = capfd.readouterr()
    visit.check(code, said.err, before)
    assert said.out == ""


def test_a_program_is_told_why(visit):
    before = visit.refused()
    with pytest.raises(PeerRefused, match=visit.case.peer_says) as caught:
        Executor(visit.where, token=visit.access)
    visit.check(caught.value.exit_code, f"midas: {caught.value}", before)
