"""Tokens as people carry them: ``midas1.`` and then a secret with its host's fingerprint."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import struct
from typing import Final, Self
from zlib import crc32

from midas_mp.errors import UsageError
from midas_mp.wire.joining import Key

PREFIX: Final = "midas1."

_PARTS: Final = struct.Struct("<32s32sI")
"""Secret, fingerprint of the host's certificate, CRC-32 of both."""


@dataclasses.dataclass(frozen=True, slots=True)
class JoinToken:
    """One paste: it proves who carries it to the host, and the host to him."""

    secret: bytes = dataclasses.field(repr=False)
    certificate: bytes
    """Fingerprint."""

    @property
    def key(self) -> Key:
        return Key.of(self.secret)

    @property
    def text(self) -> str:
        """What is pasted."""
        parts = self.secret + self.certificate
        packed = _PARTS.pack(self.secret, self.certificate, crc32(parts))
        return PREFIX + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """What was pasted.

        Raises:
            UsageError: it is no token, or not the whole of one; does not show it.
        """
        text = text.strip()
        if not text.startswith(PREFIX):
            raise UsageError(f"that is no token: one begins with {PREFIX}")
        try:
            code = text.removeprefix(PREFIX)
            packed = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
            secret, certificate, check = _PARTS.unpack(packed)
        except (binascii.Error, ValueError, struct.error):
            check = None
        if check is None or check != crc32(secret + certificate):
            raise UsageError("the token is damaged: copy the whole of it, without spaces or breaks")
        return cls(secret, certificate)
