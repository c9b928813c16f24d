"""Digests of payloads by what they mean: the order in which ``pairs`` went through a table must
not count, since it differs between processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from midas_mp import limits
from midas_mp.journal.records import DIGEST_BYTES
from midas_mp.wire.framing import Buffer

COMPARED_BYTES_MAX: Final = 4 * limits.MB
"""Of msgpack: to look into more would take a second and ten times its memory, so only its length
counts then.  Arrays lie outside it and count whole."""

_NOTHING: Final = bytes(DIGEST_BYTES)
_INSTEAD: Final = bytes(DIGEST_BYTES - 1) + b"\1"

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode


def payload_digest(payload: Sequence[Buffer]) -> bytes:
    """The same for equal values, however their tables were walked through; never all zeros."""
    state = hashlib.blake2b(_meaning(payload[0]), digest_size=DIGEST_BYTES)
    for buffer in payload[1:]:
        state.update(buffer)
    digest = state.digest()
    return digest if digest != _NOTHING else _INSTEAD


def _meaning(value: Buffer) -> bytes:
    """The same bytes for equal values in msgpack."""
    if len(value) > COMPARED_BYTES_MAX:
        return len(value).to_bytes(8)
    try:
        decoded = _decode(value)
        try:
            return _encode(decoded)
        except TypeError:  # keys that are not strings
            return _encode(_in_order(decoded))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(value)  # no script gives such a thing; whoever runs the task says so


def _in_order(value: Any) -> Any:
    """Maps as lists of their pairs."""
    if isinstance(value, dict):
        pairs = [(_encode(key), _in_order(each)) for key, each in value.items()]
        return {"": sorted(pairs, key=lambda pair: pair[0])}
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    return value
