"""Who knows the secret gets in, and nobody else; and each side is told why."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import PeerError, PeerRefused, ProtocolError
from midas_mp.wire import joining
from midas_mp.wire.joining import Doorkeeper, Joiner, Key, Word, WordReader, denial
from midas_mp.wire.messages import PROTOCOL_VERSION, Role

KEY = Key.of(b"s" * 32)
OTHER = Key.of(b"o" * 32)
CERTIFICATE = b"c" * 32


class OneKey:
    """Knows a secret, by its name or by another one."""

    def __init__(self, key=KEY, *, name=None):
        self.key = key
        self.name = name or key.id
        self.asked = []

    def look_up(self, key, role):
        self.asked.append((key, role))
        if key != self.name:
            raise PeerRefused(f"this host knows no token {key}", refusal="token")
        return self.key


def joiner(key=KEY, role=Role.LAUNCHER, **options):
    return Joiner(key, role, release="1.0", nonce=b"a" * 32, **options)


def doorkeeper(keyring=None, **options):
    return Doorkeeper(keyring or OneKey(), nonce=b"b" * 32, **options)


def word(kind, *fields):
    return joining._envelope(kind, msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("role", [Role.LAUNCHER, Role.CLIENT, Role.BULK])
def test_who_knows_the_secret_gets_in_in_its_role(role):
    peer, host = joiner(role=role), doorkeeper()
    challenge = host.receive(peer.opening)
    assert host.role is None
    assert not peer.is_done
    response = peer.receive(challenge)
    assert peer.is_done
    assert host.receive(response) == b""
    assert host.role is role


def test_the_secret_never_travels_nor_shows():
    peer, host = joiner(), doorkeeper()
    challenge = host.receive(peer.opening)
    said = peer.opening + challenge + peer.receive(challenge)
    assert KEY.secret not in said
    assert KEY.secret.decode() not in repr(KEY)


def test_words_may_be_cut_anywhere_and_what_follows_is_kept():
    peer, host = joiner(), doorkeeper()
    challenge = b"".join(host.receive(bytes([byte])) for byte in peer.opening)
    answers = [peer.receive(bytes([byte])) for byte in challenge]
    assert answers[:-1] == [b""] * (len(challenge) - 1)
    host.receive(answers[-1] + b"and then Hello")
    assert host.role is Role.LAUNCHER
    assert host.rest == b"and then Hello"


def test_what_a_host_says_behind_its_challenge_is_kept():
    peer = joiner()
    peer.receive(doorkeeper().receive(peer.opening) + b"Welcome")
    assert peer.rest == b"Welcome"


def test_an_unknown_key_is_denied_with_the_keyrings_sentence():
    peer, host = joiner(OTHER), doorkeeper()
    with pytest.raises(PeerRefused, match="knows no token") as caught:
        host.receive(peer.opening)
    with pytest.raises(PeerRefused) as told:
        peer.receive(host.farewell)
    assert (told.value.reason, told.value.refusal) == (caught.value.reason, "token")
    assert peer.farewell == b""


def test_a_host_that_only_knows_the_name_of_the_key_is_not_trusted():
    peer, host = joiner(), doorkeeper(OneKey(OTHER, name=KEY.id))
    challenge = host.receive(peer.opening)
    with pytest.raises(PeerRefused, match="does not know the secret"):
        peer.receive(challenge)
    assert not peer.is_done
    with pytest.raises(PeerRefused, match="does not trust this host"):
        host.receive(peer.farewell)
    assert host.farewell == b""


def test_a_peer_that_only_knows_the_name_of_the_key_is_denied():
    host = doorkeeper()
    host.receive(joiner(Key(KEY.id, OTHER.secret)).opening)
    with pytest.raises(PeerRefused, match="its proof is wrong"):
        host.receive(word(Word.RESPONSE, bytes(32)))
    assert host.role is None


@pytest.mark.parametrize(
    ("of_peer", "of_host"), [(CERTIFICATE, bytes(32)), (bytes(32), CERTIFICATE)]
)
def test_somebody_in_between_with_another_certificate_is_noticed_by_the_peer(of_peer, of_host):
    peer = joiner(certificate=of_peer)
    challenge = doorkeeper(certificate=of_host).receive(peer.opening)
    with pytest.raises(PeerRefused, match="somebody stands in between"):
        peer.receive(challenge)


@pytest.mark.parametrize("change", ["nonce of the host", "role", "reflected"])
def test_a_proof_is_good_for_one_connection_and_one_speaker(change):
    peer, host = joiner(), doorkeeper()
    challenge = host.receive(peer.opening)
    response = peer.receive(challenge)
    if change == "nonce of the host":
        host = Doorkeeper(OneKey(), nonce=b"x" * 32)
        host.receive(peer.opening)
    elif change == "role":
        host = doorkeeper()
        host.receive(joiner(role=Role.CLIENT).opening)
    else:
        response = word(Word.RESPONSE, msgspec.msgpack.decode(challenge[8:])[1])
    with pytest.raises(PeerRefused, match="its proof is wrong"):
        host.receive(response)


@pytest.mark.parametrize(
    ("version", "whose"), [(PROTOCOL_VERSION - 1, "peer's"), (PROTOCOL_VERSION + 1, "host's")]
)
def test_another_version_is_told_what_to_upgrade_whatever_else_it_says(version, whose):
    host = doorkeeper()
    with pytest.raises(PeerRefused, match=f"upgrade midas_mp on the {whose} machine") as caught:
        host.receive(word(Word.OPENING, version, {"anything": [1, 2]}))
    assert caught.value.refusal == "version"
    with pytest.raises(PeerRefused, match=f"speaks protocol {version}"):
        joiner().receive(host.farewell)


@pytest.mark.parametrize("role", [Role.HOST, Role.WORKER])
def test_a_role_without_business_here_is_denied(role):
    keyring = OneKey()
    with pytest.raises(PeerRefused, match=f"a {role} has no business"):
        doorkeeper(keyring).receive(joiner(role=role).opening)
    assert keyring.asked == []


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n",
        b"midaz",
        b"midas\x07\x00\x00",
        b"midas\x01" + (limits.JOINING_BYTES_MAX + 1).to_bytes(2, "little"),
        word(Word.OPENING),
        word(Word.OPENING, "five"),
        word(Word.OPENING, PROTOCOL_VERSION, "launcher", "1.0", KEY.id, b"short"),
        word(Word.OPENING, PROTOCOL_VERSION, "launcher", "1.0", "no key", b"a" * 32),
        word(Word.RESPONSE, bytes(32)),
        word(Word.CHALLENGE, bytes(32), bytes(32)),
    ],
)
def test_a_host_takes_nothing_else_for_a_beginning(said):
    host = doorkeeper()
    with pytest.raises(ProtocolError):
        host.receive(said)
    assert host.role is None


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        word(Word.CHALLENGE, bytes(32)),
        word(Word.CHALLENGE, bytes(31), bytes(32)),
        word(Word.RESPONSE, bytes(32)),
        word(Word.DENIAL, "token"),
    ],
)
def test_a_peer_takes_nothing_else_for_an_answer(said):
    peer = joiner()
    with pytest.raises(ProtocolError):
        peer.receive(said)
    assert not peer.is_done


def test_two_openings_are_one_too_many():
    host = doorkeeper()
    with pytest.raises(ProtocolError, match="not what was due"):
        host.receive(joiner().opening * 2)


def test_a_long_reason_is_cut():
    with pytest.raises(PeerRefused) as caught:
        joiner().receive(denial("token", "x" * 5_000))
    assert 500 < len(caught.value.reason) < 1_000


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_nothing_that_comes_does_harm(pieces, begins_well):
    for side in (joiner(), doorkeeper()):
        try:
            for piece in [joining.MAGIC, *pieces] if begins_well else pieces:
                side.receive(piece)
        except PeerError:
            pass
        assert not getattr(side, "is_done", False)
        assert getattr(side, "role", None) is None


@given(st.binary(max_size=300))
def test_a_reader_keeps_no_more_than_what_came(data):
    reader = WordReader()
    reader.feed(data)
    try:
        while reader.next():
            pass
    except ProtocolError:
        pass
    assert data.endswith(reader.rest)
