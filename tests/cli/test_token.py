"""Tokens let others in, each kind those whom it is for; and nobody waits for a reason."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from midas_mp.join.token import JoinToken


@pytest.fixture
def own_state(tmp_path):
    """The user of the host, who is none of those that come."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def token(midas, own_state):
    def make(kind="participants", *options):
        return midas("token", "new", "--for", kind, *options, env=own_state).out.strip()

    return make


@pytest.fixture
def host(start, own_state):
    def make(*options, address="0.0.0.0:0"):
        host = start("host", "--address", address, *options, env=own_state)
        port = host.wait_for(r"listening on .*:(\d+)")[1]
        return host, f"127.0.0.1:{port}"

    return make


def come(start, where, token, *options, **env):
    env = env | ({"MIDAS_TOKEN": token} if token else {})
    return start("participant", "--address", where, "--workers", "1", *options, env=env)


# -- the commands ----------------------------------------------------------------------------------


def test_a_token_is_all_that_stdout_gets(midas, own_state):
    ended = midas("token", "new", env=own_state)
    assert ended.code == 0
    token = JoinToken.parse(ended.out)
    assert f"token {token.key.id} for participants, good until it is revoked" in ended.err
    assert token.text not in ended.err


def test_the_list_shows_all_and_no_secret(midas, own_state):
    made = [
        midas("token", "new", *options, env=own_state)
        for options in ([], ["--for", "clients", "--expires", "30d", "--label", "the\x1b[2J lab"])
    ]
    ids = [JoinToken.parse(ended.out).key.id for ended in made]
    midas("token", "revoke", ids[0][:8], env=own_state)
    listed = midas("token", "list", env=own_state)
    head, first, second = listed.out.splitlines()
    assert head.split() == ["ID", "FOR", "MADE", "STATE", "LABEL"]
    assert re.fullmatch(rf"{ids[0]}  participants  .*  was revoked on .*", first)
    assert re.fullmatch(rf"{ids[1]}  clients .*  until 20.*  the\\x1b\[2J lab", second)
    assert all(ended.out.strip()[7:20] not in listed.out for ended in made)


def test_what_cannot_be_revoked_is_told(midas, own_state):
    ended = midas("token", "revoke", "1234", env=own_state)
    assert ended.code == 2
    assert "no token has the id '1234'" in ended.err


# -- who is not let in -----------------------------------------------------------------------------


def expired(make, own_state):
    text = make("participants", "--expires", "1ms")
    time.sleep(0.001)
    return text


def forged(make, own_state):
    return JoinToken(b"x" * 32, JoinToken.parse(make()).certificate).text


def of_another_host(make, own_state):
    return JoinToken(JoinToken.parse(make()).secret, b"x" * 32).text


def for_clients(make, own_state):
    return make("clients")


@pytest.mark.parametrize(
    ("bring", "sentence"),
    [
        (expired, r"the token \w+ expired on"),
        (forged, r"this host knows no token \w+"),
        (for_clients, r"is for clients: 'midas token new --for participants'"),
    ],
)
def test_a_token_that_is_not_good_has_a_reason_on_both_sides(  # noqa: PLR0917 - as below
    start, host, token, own_state, bring, sentence
):
    standing, where = host()
    node = come(start, where, bring(token, own_state)).wait()
    assert node.code == 3
    assert re.search(sentence, node.err)
    assert re.search(sentence, node.err.splitlines()[-1])
    standing.wait_for(rf"midas: 127\.0\.0\.1:\d+ was refused: .*{sentence}")


def test_a_token_for_participants_runs_no_script(start, host, token, script):
    _, where = host()
    run = start("run", script(), "--address", where, env={"MIDAS_TOKEN": token()}).wait()
    assert run.code == 3
    assert "is for participants: 'midas token new --for clients'" in run.err


def test_a_certificate_that_the_token_does_not_name_has_a_reason_on_both_sides(
    start, host, token, own_state
):
    standing, where = host()
    node = come(start, where, of_another_host(token, own_state)).wait()
    assert node.code == 3
    assert "is not the one that this token names" in node.err
    standing.wait_for("was refused: the peer does not trust this host")


def test_tls_at_a_plain_host_has_a_reason_on_both_sides(start, host, token):
    standing, where = host(address="127.0.0.1:0")
    node = come(start, where, token()).wait()
    assert node.code == 3
    assert "the host listens there without TLS" in node.err
    standing.wait_for("was refused: it speaks TLS, which this host does not")


def test_without_tls_at_a_host_of_another_user_there_is_a_reason_on_both_sides(start, host):
    standing, where = host()
    node = come(start, where, "").wait()
    assert node.code == 3
    assert "for others it can listen at an address of the network" in node.err
    standing.wait_for("was refused: this host is user")


def test_who_proves_nothing_has_a_reason_on_both_sides(start, host):
    standing, where = host()
    node = come(start, where, "", "--insecure").wait()
    assert node.code == 3
    assert "leave --insecure out" in node.err
    standing.wait_for("was refused: it proves nothing")


def test_who_came_by_a_token_that_is_revoked_has_to_go_and_nobody_else_comes(
    start, host, token, midas, own_state
):
    _, where = host()
    text, other = token(), token()
    first, second = come(start, where, text), come(start, where, other)
    first.wait_for("joined")
    second.wait_for("joined")
    midas("token", "revoke", JoinToken.parse(text).key.id, env=own_state)
    late = come(start, where, text).wait()
    assert late.code == 3
    assert "was revoked on" in late.err
    gone = first.wait()
    assert gone.code == 3
    assert re.search(r"is gone \(the token \w+ was revoked on .*", gone.err)
    assert second.process.poll() is None


def test_secrets_are_the_users_alone(host, token, tmp_path):
    host()
    token()
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state/midas").iterdir()
    }
    assert modes == dict.fromkeys(["secret", "host.pem", "tokens.json", "tokens.lock"], 0o600)


# -- sites with an authority of their own ----------------------------------------------------------


def certificate(folder, name, issuer=None):
    """A certificate for this machine and its key, signed by an issuer or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer, signing = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(signing, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


@pytest.fixture
def site(tmp_path):
    """Files of an authority, of a host and a node that it has signed, and of a stranger."""
    authority = certificate(tmp_path, "ca")
    certificate(tmp_path, "host", authority)
    certificate(tmp_path, "node", authority)
    certificate(tmp_path, "stranger")
    return tmp_path


def shown(site, name, authority="ca"):
    files = {
        "--tls-cert": f"{name}.pem",
        "--tls-key": f"{name}.key",
        "--tls-ca": f"{authority}.pem",
    }
    return [word for option, file in files.items() for word in (option, site / file)]


def test_a_site_with_its_own_authority_needs_no_fingerprint(start, host, token, site):
    _, where = host(*shown(site, "host"), address="127.0.0.1:0")
    come(start, where, token(), *shown(site, "node")).wait_for("joined")


def test_a_host_that_cannot_be_verified_is_refused_with_a_reason_on_both_sides(
    start, host, token, site
):
    standing, where = host(*shown(site, "host"), address="127.0.0.1:0")
    node = come(start, where, token(), *shown(site, "node", "stranger")).wait()
    assert node.code == 3
    assert "certificate cannot be verified" in node.err
    standing.wait_for("was refused: .*does not trust the host's")


@pytest.mark.parametrize(
    ("name", "of_host"),
    [("stranger", "cannot be verified"), (None, "the peer showed no certificate")],
)
def test_who_shows_no_good_certificate_is_told_what_it_may_be_and_goes_on(  # noqa: PLR0917 - fixtures
    start, host, token, site, name, of_host
):
    """In TLS 1.3 the peer sees of it as much as of a host that had no room."""
    standing, where = host(*shown(site, "host"), address="127.0.0.1:0")
    words = shown(site, name) if name else ["--tls-ca", site / "ca.pem"]
    node = come(start, where, token(), *words)
    node.wait_for(r"waiting for a host: .* if that goes on, it wants a certificate \(--tls-cert\)")
    standing.wait_for(rf"was refused: .*{of_host}", count=2)
    assert node.process.poll() is None


def test_a_token_may_name_the_certificate_of_a_site(start, host, token, site):
    _, where = host(*shown(site, "host")[:4], address="127.0.0.1:0")
    come(start, where, token("participants", "--tls-cert", site / "host.pem")).wait_for("joined")
