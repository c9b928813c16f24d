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

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode


def payload_digest(payload: Sequence[Buffer]) -> bytes:
    """The same for equal values, however their tables were walked through; never all zeros."""
    first = payload[0]
    state = hashlib.blake2b(digest_size=DIGEST_BYTES, person=b"midas payload")
    if len(first) > COMPARED_BYTES_MAX:
        state.update(len(first).to_bytes(8))
    else:
        value = _decode(first)
        try:
            state.update(_encode(value))
        except TypeError:  # keys that are not strings
            state.update(_encode(_in_order(value)))
    for buffer in payload[1:]:
        state.update(buffer)
    digest = state.digest()
    return digest[:-1] + bytes([digest[-1] | 1])


def _in_order(value: Any) -> Any:
    """Maps as lists of their pairs."""
    if isinstance(value, dict):
        pairs = [(_encode(key), _in_order(each)) for key, each in value.items()]
        return {"": sorted(pairs, key=lambda pair: pair[0])}
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    return value
