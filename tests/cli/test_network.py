"""Which addresses are open to others, and that nobody opens one by accident."""

from __future__ import annotations

import pytest

from midas_mp.cli.network import announce, guard
from midas_mp.errors import UsageError
from midas_mp.transport.address import Address

OPEN = [":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"]


@pytest.mark.parametrize("text", ["127.0.0.1", "127.9.9.9:1", "localhost:1", "[::1]:1", ""])
def test_loopback_is_nobodys_business(text, capsys):
    guard(Address.parse(text), insecure=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", OPEN)
def test_others_are_refused_with_the_way_out(text):
    with pytest.raises(UsageError, match=r"no authentication yet.*add --insecure"):
        guard(Address.parse(text), insecure=False)


@pytest.mark.parametrize("text", OPEN)
def test_insecure_warns(text, capsys):
    guard(Address.parse(text), insecure=True)
    assert capsys.readouterr().err.startswith("midas: warning: --insecure: whoever reaches ")


def test_announcements_are_safe_lines(capsys):
    announce("a peer named \x1b[2J\x07")
    assert capsys.readouterr().err == "midas: a peer named \\x1b[2J\\x07\n"


@pytest.mark.parametrize("address", [":0", "0.0.0.0:0"])
def test_a_host_that_others_reach_needs_insecure(midas, address):
    ended = midas("host", "--address", address)
    assert (ended.code, ended.out) == (2, "")
    assert "can be reached from other machines" in ended.err


@pytest.mark.parametrize("how", [(["--insecure"], {}), ([], {"MIDAS_INSECURE": "1"})])
def test_with_insecure_it_listens_and_serves(start, script, how):
    options, env = how
    host = start("host", script(), "--address", "0.0.0.0:0", "--tasks", "3", *options, env=env)
    port = host.wait_for(r"listening on 0\.0\.0\.0:(\d+)")[1]
    assert "warning: --insecure" in host.err
    start("participant", "--address", f"127.0.0.1:{port}", "--workers", "1")
    assert host.wait().out == "0,1,2\n"
