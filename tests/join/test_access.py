"""What a peer shows depends on the address and on what was said."""

from __future__ import annotations

import ssl

import pytest

from midas_mp.errors import UsageError
from midas_mp.join.access import BY_USER, Access
from midas_mp.join.identity import own_identity
from midas_mp.join.local import local_key
from midas_mp.join.token import JoinToken
from midas_mp.transport.address import Address

TOKEN = JoinToken(b"s" * 32, b"f" * 32)
FAR = Address("example.org", 3000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", ""])
def test_on_this_machine_the_users_secret_is_enough(host):
    badge = BY_USER.badge(Address(host, 3000))
    assert (badge.key, badge.tls, badge.certificate) == (local_key(), None, None)


def test_elsewhere_a_token_is_wanted():
    with pytest.raises(UsageError, match=r"example\.org:3000 lets nobody in without a token"):
        BY_USER.badge(FAR)


@pytest.mark.parametrize("address", [FAR, Address()])
def test_a_token_is_shown_over_tls_to_the_host_that_it_names(address):
    badge = Access(token=TOKEN.text).badge(address)
    assert (badge.key, badge.certificate) == (TOKEN.key, TOKEN.certificate)
    assert badge.tls.verify_mode is ssl.CERT_NONE


def test_it_may_be_in_a_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN.text + "\n")
    assert Access(token_file=path).badge(FAR).key == TOKEN.key
    path.write_text("midas1.hello")
    with pytest.raises(UsageError, match=r"token: the token is damaged"):
        Access(token_file=path).badge(FAR)
    with pytest.raises(UsageError, match="gone: No such file"):
        Access(token_file=tmp_path / "gone").badge(FAR)


def test_with_an_authority_it_knows_the_host_instead():
    certificate = own_identity().certificate
    badge = Access(token=TOKEN.text, tls_ca=certificate).badge(FAR)
    assert badge.certificate is None
    assert badge.tls.check_hostname


def test_insecure_shows_nothing():
    assert Access(is_insecure=True).badge(FAR) is None


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"token": TOKEN.text, "is_insecure": True}, "--insecure goes without"),
        ({"tls_ca": "ca.pem", "is_insecure": True}, "--insecure goes without"),
        ({"tls_ca": "ca.pem"}, "certificates go with a token"),
        ({"token": TOKEN.text, "tls_key": "key.pem"}, "--tls-key goes with --tls-cert"),
        ({"token": "midas"}, "is no token"),
    ],
)
def test_what_makes_no_sense_is_told(said, fault):
    with pytest.raises(UsageError, match=fault):
        Access(**said).badge(FAR)


def test_the_environment_says_it_as_the_options_do(tmp_path):
    environment = {
        "MIDAS_TOKEN": TOKEN.text,
        "MIDAS_TLS_CA": str(tmp_path / "ca.pem"),
        "MIDAS_TLS_CERT": "",
        "MIDAS_INSECURE": "no",
    }
    expected = Access(token=TOKEN.text, tls_ca=tmp_path / "ca.pem")
    assert Access.of_environment(None, environment) == expected
    assert Access.of_environment("midas1.x", environment).token == "midas1.x"
    assert Access.of_environment(None, {"MIDAS_INSECURE": "1"}) == Access(is_insecure=True)
    assert Access.of_environment(None, {}) == BY_USER


def test_a_given_token_wins_over_a_file_in_the_environment():
    access = Access.of_environment(TOKEN.text, {"MIDAS_TOKEN_FILE": "/nowhere"})
    assert access.badge(FAR).key == TOKEN.key


def test_it_does_not_show_its_token():
    assert TOKEN.text not in repr(Access(token=TOKEN.text))
