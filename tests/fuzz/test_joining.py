"""Whatever somebody in between does to what two ends say: they are let in as they are, or not."""

from __future__ import annotations

from midas_mp import limits
from midas_mp.errors import PeerError, PeerRefused
from midas_mp.testing.mutation import cut, noise, tamper
from midas_mp.wire.joining import Doorkeeper, Joiner, Key, Word, denial
from midas_mp.wire.messages import Role

KEY = Key.of(b"the secret that both know, 32 b.")


class Keyring:
    def look_up(self, key, _role):
        if key != KEY.id:
            raise PeerRefused("an unknown key", refusal="token")
        return KEY


def changed(rng, data, earlier):
    """What arrives in the place of what was sent."""
    match rng.randrange(8):
        case 0:
            return tamper(rng, data)
        case 1:
            return noise(rng)
        case 2:
            return data + noise(rng)
        case 3:
            return rng.choice(earlier)
        case 4:
            return denial("token", "no")
        case _:
            return data


def deliver(rng, side, data):
    """All of it, however it is cut; what the side answers, and whether it goes on."""
    pieces = cut(rng, data) if rng.randrange(2) and data else [data]
    answer = b""
    try:
        for piece in pieces:
            answer += side.receive(piece)
    except PeerError:
        assert len(side.farewell) < limits.JOINING_BYTES_MAX
        return answer, False
    return answer, True


def test_nobody_in_between_gets_in_or_changes_who_does(fuzz):
    def case(rng):
        role = rng.choice((Role.LAUNCHER, Role.CLIENT, Role.BULK))
        peer = Joiner(KEY, role, release="1.0", nonce=rng.randbytes(32))
        host = Doorkeeper(Keyring(), nonce=rng.randbytes(32))
        other = Joiner(KEY, Role.CLIENT, release="1.0", nonce=rng.randbytes(32)).opening
        said, heard = [peer.opening], [changed(rng, peer.opening, [other])]
        challenge, goes_on = deliver(rng, host, heard[0])
        if goes_on and challenge:
            arrived = changed(rng, challenge, [*heard, other])
            response, goes_on = deliver(rng, peer, arrived)
            if peer.is_done:
                assert arrived.startswith(challenge)
                assert heard[0].startswith(peer.opening)
            if goes_on and response:
                said.append(response)
                heard.append(changed(rng, response, [challenge, *heard]))
                deliver(rng, host, heard[1])
        if host.role is not None:
            assert host.role is role
            assert b"".join(heard).startswith(b"".join(said))

    fuzz.run(case, 5_000)


def test_a_secret_is_what_it_takes(fuzz):
    def case(rng):
        host = Doorkeeper(Keyring(), nonce=rng.randbytes(32))
        opening = Joiner(KEY, Role.LAUNCHER, release="1", nonce=rng.randbytes(32)).opening
        _, goes_on = deliver(rng, host, opening)
        assert goes_on
        guess = b"midas" + bytes([Word.RESPONSE]) + b"\x23\0\x91\xc4\x20" + rng.randbytes(32)
        deliver(rng, host, tamper(rng, guess) if rng.randrange(2) else guess)
        assert host.role is None

    fuzz.run(case, 1_000)
