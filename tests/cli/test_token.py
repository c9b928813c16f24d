"""Tokens let others in, each kind those whom it is for; and nobody waits for a reason."""

from __future__ import annotations

import re

import pytest

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
    assert head.split() == ["token", "for", "made", "state", "label"]
    assert re.fullmatch(rf"{ids[0]}  participants  .*  was revoked on .*", first)
    assert re.fullmatch(rf"{ids[1]}  clients .*  until 20.*  the\\x1b\[2J lab", second)
    assert all(ended.out.strip()[7:20] not in listed.out for ended in made)


def test_what_cannot_be_revoked_is_told(midas, own_state):
    ended = midas("token", "revoke", "1234", env=own_state)
    assert ended.code == 2
    assert "no token has the id '1234'" in ended.err


# -- who is not let in -----------------------------------------------------------------------------


def test_who_came_by_a_token_that_is_revoked_has_to_go_and_nobody_else_comes(  # noqa: PLR0917 - fixtures
    start, host, token, midas, own_state, script
):
    standing, where = host()
    text, other, of_client = token(), token(), token("clients")
    first, second = come(start, where, text), come(start, where, other)
    first.wait_for("joined")
    second.wait_for("joined")
    path = script("print('busy') while true do end")
    run = start("run", path, "--address", where, env={"MIDAS_TOKEN": of_client})
    run.wait_for("busy")
    for revoked in (text, of_client):
        midas("token", "revoke", JoinToken.parse(revoked).key.id, env=own_state)
    late = come(start, where, text).wait()
    assert late.code == 3
    assert "was revoked on" in late.err
    gone = first.wait()
    assert gone.code == 3
    assert re.search(r"is gone \(the token \w+ was revoked on .*", gone.err)
    standing.wait_for(r"midas: .* had to go: the token \w+ was revoked on", count=2)
    ended = run.wait()
    assert ended.code == 3
    assert re.search(r"the token \w+ was revoked on", ended.err.splitlines()[-1])
    assert second.process.poll() is None


def test_secrets_are_the_users_alone(host, token, tmp_path):
    host()
    token()
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state/midas").iterdir()
    }
    assert modes == dict.fromkeys(["secret", "host.pem", "tokens.json", "tokens.lock"], 0o600)


# -- sites with an authority of their own ----------------------------------------------------------


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


def test_a_token_may_name_the_certificate_of_a_site(start, host, token, site):
    _, where = host(*shown(site, "host")[:4], address="127.0.0.1:0")
    come(start, where, token("participants", "--tls-cert", site / "host.pem")).wait_for("joined")
