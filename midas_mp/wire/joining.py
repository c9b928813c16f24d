"""How both ends of a connection prove to each other that they know one secret, before all else.

    peer ── Opening(version, role, key, nonce) ──▶ host      which of the host's keys it knows
         ◀──── Challenge(nonce, proof) ───────────           or Denial: why not
         ── Response(proof) ──────────────────────▶          or Denial: not the host it looked for

Then the conversation begins with Hello; the peer need not wait for an answer.  A proof is the
HMAC-SHA256, under the secret, of who speaks, the Opening as it was sent, the host's nonce and the
fingerprint of the host's certificate: so none can be used again, in another direction, for another
role, or by somebody in between who shows a certificate of his own.  The secret itself never
travels.

Each word is ``b"midas" | u8 kind | u16 size | body``, the size little-endian, the body a msgpack
array.  That, the version as the first field of an Opening, and Denial never change, so that hosts
and peers of all versions understand why they do not understand each other.  Pure: bytes in, bytes
out; nonces are arguments.
"""

from __future__ import annotations

import enum
import hmac
import struct
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from midas_mp import limits
from midas_mp.errors import PeerRefused, ProtocolError
from midas_mp.wire.messages import PROTOCOL_VERSION, Count, Name, Role

MAGIC: Final = b"midas"

NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32

NO_CERTIFICATE: Final = bytes(32)
"""In the place of its fingerprint, where there is no TLS."""

_ENVELOPE: Final = struct.Struct("<5sBH")

_Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Proof = Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
KeyId = Annotated[str, Meta(min_length=16, max_length=16, pattern=r"^[0-9a-f]+\Z")]

T = TypeVar("T", bound=Struct)


class Word(enum.IntEnum):
    """What an envelope holds."""

    OPENING = 1
    CHALLENGE = 2
    RESPONSE = 3
    DENIAL = 4


class Opening(Struct, frozen=True, array_like=True):
    """Peer → host, first of all."""

    protocol: Count
    role: Role
    release: Annotated[str, Meta(max_length=64)]
    key: KeyId
    """Which secret it knows."""
    nonce: _Nonce


class Challenge(Struct, frozen=True, array_like=True):
    """Host → peer: it knows the secret too."""

    nonce: _Nonce
    proof: _Proof


class Response(Struct, frozen=True, array_like=True):
    """Peer → host: its own proof."""

    proof: _Proof


class Denial(Struct, frozen=True, array_like=True):
    """Either side: no, and why; the connection ends."""

    code: Name
    reason: Annotated[str, Meta(max_length=700)]


class _Version(Struct, frozen=True, array_like=True):
    """What is read of an Opening before its version is known to be ours."""

    protocol: Count


class Key(NamedTuple):
    """A secret, and by which name both sides speak of it."""

    id: str
    secret: bytes
    may_manage: bool = False
    """What the host says of it: who has it may pause and kill what is not theirs."""

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """The name tells nothing about a secret that cannot be guessed."""
        return cls(sha256(b"midas key\0" + secret).hexdigest()[:16], secret)

    def __repr__(self) -> str:
        return f"<Key {self.id}>"


class Keyring(Protocol):
    """The secrets that a host knows."""

    def look_up(self, key: str, role: Role, /) -> Key:
        """The secret for a peer of this role.

        Raises:
            PeerRefused: there is none, or not for such peers, or not any more; says what to do.
        """


class WordReader:
    """Takes words out of a byte stream, cut anywhere; what follows the last one is ``rest``."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> tuple[Word, bytes] | None:
        """The next word that is complete.

        Raises:
            ProtocolError: what came is none, or is too long.
        """
        head = bytes(self._data[: len(MAGIC)])
        if head != MAGIC[: len(head)]:
            raise ProtocolError("what it said is not Midas' protocol")
        if len(self._data) < _ENVELOPE.size:
            return None
        _, kind, size = _ENVELOPE.unpack_from(self._data)
        if kind not in iter(Word) or size > limits.JOINING_BYTES_MAX:
            raise ProtocolError("what it said is not Midas' way to join")
        end = _ENVELOPE.size + size
        if len(self._data) < end:
            return None
        body = bytes(self._data[_ENVELOPE.size : end])
        del self._data[:end]
        return Word(kind), body

    @property
    def rest(self) -> bytes:
        return bytes(self._data)


class Joiner:
    """The peer's side, of one connection.

    Args:
        key: the secret that host and peer share.
        role: what this peer is.
        release: of this Midas, for people.
        nonce: random, ``NONCE_BYTES`` long, never used before.
        certificate: fingerprint of the one that the host showed, which must have been verified.

    Attributes:
        is_done: the host has proved itself; what it says next is its conversation.
        farewell: to be sent before hanging up, after an error.
    """

    def __init__(
        self,
        key: Key,
        role: Role,
        *,
        release: str,
        nonce: bytes,
        certificate: bytes = NO_CERTIFICATE,
    ) -> None:
        self._key = key
        self._certificate = certificate
        self._body = _encoder.encode(Opening(PROTOCOL_VERSION, role, release, key.id, nonce))
        self._reader = WordReader()
        self.is_done = False
        self.farewell = b""

    @property
    def opening(self) -> bytes:
        """To be sent first."""
        return _envelope(Word.OPENING, self._body)

    @property
    def rest(self) -> bytes:
        """What came behind the host's words, once done."""
        return self._reader.rest

    def receive(self, data: bytes) -> bytes:
        """What to answer; nothing as long as the host's word is not complete.

        Raises:
            PeerRefused: the host does not let us in, or does not know the secret itself.
            ProtocolError: what answers there is no host.
        """
        self._reader.feed(data)
        word = self._reader.next()
        if word is None:
            return b""
        kind, body = word
        if kind is Word.DENIAL:
            raise _denied(body)
        if kind is not Word.CHALLENGE:
            raise ProtocolError(f"{kind.name.lower()} where its challenge was due")
        challenge = _decode(body, Challenge)
        args = (self._key.secret, self._body, challenge.nonce, self._certificate)
        if not hmac.compare_digest(challenge.proof, _proof(b"host", *args)):
            self.farewell = denial("host", "the peer does not trust this host: its proof is wrong")
            raise PeerRefused(
                "what answers there does not know the secret that it should: it is not the host "
                "that this token is for, or somebody stands in between",
                refusal="host",
            )
        self.is_done = True
        return _envelope(Word.RESPONSE, _encoder.encode(Response(_proof(b"peer", *args))))


class Doorkeeper:
    """The host's side, of one connection.

    Args:
        keyring: whom it lets in.
        nonce: as for ``Joiner``.
        certificate: fingerprint of the one that this host has shown.

    Attributes:
        role: what the peer has proved to be; None so far.
        key: the secret that it says it knows; that of nobody so far.
        farewell: as of ``Joiner``.
    """

    def __init__(
        self, keyring: Keyring, *, nonce: bytes, certificate: bytes = NO_CERTIFICATE
    ) -> None:
        self._keyring = keyring
        self._nonce = nonce
        self._certificate = certificate
        self._reader = WordReader()
        self._asked: tuple[Role, bytes] | None = None
        """Who wants in, and the proof that is due."""
        self.role: Role | None = None
        self.key = Key("", b"")
        self.farewell = b""

    @property
    def rest(self) -> bytes:
        """What came behind the peer's words, once its role is known."""
        return self._reader.rest

    def receive(self, data: bytes) -> bytes:
        """What to answer, if anything.

        Raises:
            PeerRefused: it is not let in, or does not want to.
            ProtocolError: it does not speak so.
        """
        self._reader.feed(data)
        answer = b""
        while self.role is None:
            word = self._reader.next()
            if word is None:
                break
            kind, body = word
            if kind is Word.DENIAL:
                raise _denied(body)
            try:
                answer += self._hear(kind, body)
            except PeerRefused as error:
                self.farewell = denial(error.refusal, error.reason)
                raise
        return answer

    def _hear(self, kind: Word, body: bytes) -> bytes:
        if self._asked is None and kind is Word.OPENING:
            return self._challenge(body)
        if self._asked is not None and kind is Word.RESPONSE:
            role, due = self._asked
            if not hmac.compare_digest(_decode(body, Response).proof, due):
                raise PeerRefused("its proof is wrong", refusal="proof")
            self.role = role
            return b""
        raise ProtocolError(f"{kind.name.lower()} is not what was due")

    def _challenge(self, body: bytes) -> bytes:
        version = _decode(body, _Version).protocol
        if version != PROTOCOL_VERSION:
            raise PeerRefused(version_text("the peer", version), refusal="version")
        opening = _decode(body, Opening)
        if opening.role not in VISITORS:
            raise PeerRefused(role_text(opening.role), refusal="role")
        key = self.key = self._keyring.look_up(opening.key, opening.role)
        args = (key.secret, body, self._nonce, self._certificate)
        self._asked = (opening.role, _proof(b"peer", *args))
        challenge = Challenge(self._nonce, _proof(b"host", *args))
        return _envelope(Word.CHALLENGE, _encoder.encode(challenge))


VISITORS: Final = frozenset({Role.LAUNCHER, Role.CLIENT, Role.BULK})
"""Who comes to a host's address."""


def role_text(role: Role) -> str:
    """Why nobody else does."""
    return f"a {role} has no business at a host's address"


def version_text(who: str, version: int) -> str:
    """Why two versions cannot work together, and what to do about it."""
    side = "the peer's" if version < PROTOCOL_VERSION else "the host's"
    return (
        f"{who} speaks protocol {version}, this host speaks protocol {PROTOCOL_VERSION}: "
        f"upgrade midas_mp on {side} machine"
    )


def denial(code: str, reason: str) -> bytes:
    """As it is sent."""
    return _envelope(Word.DENIAL, _encoder.encode(Denial(code, reason[:700])))


def _proof(speaker: bytes, secret: bytes, opening: bytes, nonce: bytes, cert: bytes) -> bytes:
    told = b"midas join " + speaker + sha256(opening).digest() + nonce + cert
    return hmac.digest(secret, told, "sha256")


def _denied(body: bytes) -> PeerRefused:
    told = _decode(body, Denial)
    return PeerRefused(told.reason, refusal=told.code)


def _envelope(kind: Word, body: bytes) -> bytes:
    return _ENVELOPE.pack(MAGIC, kind, len(body)) + body


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a way to join: {error}") from None


_encoder: Final = msgspec.msgpack.Encoder()
