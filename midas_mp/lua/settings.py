"""What the Lua library is told when a state is made, and its own sources.

Everything is bytes and numbers: no other Python object may enter Lua.
"""

from __future__ import annotations

import functools
import hashlib
import os
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from midas_mp import limits

if TYPE_CHECKING:
    from midas_mp.permissions import Refusals
    from midas_mp.wire.messages import JobSpec

_INTEGER_MAX: Final = 2**53
_LUA_INTEGERS: Final = range(-(2**63), 2**63)


def library_settings(
    job: str, spec: JobSpec, refusals: Refusals, *, is_driver: bool
) -> dict[bytes, Any]:
    """All that a job and the limits say; ``arg`` is a dict in it, to be made a table."""
    seed = hashlib.sha256(b"midas seed %d" % spec.seed).digest()
    return {
        b"engine": b"luajit" if spec.engine == "luajit" else b"plain",
        b"is_driver": is_driver,
        b"place": b"script" if is_driver else b"task",
        **{f"{kind}_refusal".encode(): why.encode() for kind, why in refusals._asdict().items()},
        b"isolate": spec.isolate,
        b"job": job.encode(),
        b"directory": _bytes(spec.directory),
        b"seed": spec.seed if spec.seed in _LUA_INTEGERS else float(spec.seed),
        b"seed_low": int.from_bytes(seed[:4]),
        b"seed_high": int.from_bytes(seed[4:8]),
        b"secret": os.urandom(16).hex().encode(),
        b"arg": _arguments(spec),
        **_limits(),
        **_print_rates(is_driver=is_driver),
    }


@functools.cache
def library_sources() -> dict[bytes, bytes]:
    """Read once per process: a confined one cannot open its own files any more."""
    folder = resources.files("midas_mp.lua").joinpath("library")
    return {
        file.name.removesuffix(".lua").encode(): file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


def _limits() -> dict[bytes, int]:
    return {
        b"depth_max": limits.VALUE_DEPTH_MAX,
        b"integer_max": _INTEGER_MAX,
        b"payload_bytes_max": limits.PAYLOAD_BYTES_MAX,
        b"payload_buffers_max": limits.PAYLOAD_BUFFERS_MAX,
        b"inline_array_bytes_max": limits.INLINE_ARRAY_BYTES_MAX,
        b"granule_bytes": limits.OUTBOUND_GRANULE_BYTES,
        b"print_bytes_max": limits.PRINT_BYTES_MAX,
        b"coroutine_depth_max": limits.COROUTINE_DEPTH_MAX,
        b"error_message_bytes_max": limits.ERROR_MESSAGE_BYTES_MAX,
        b"traceback_bytes_max": limits.TRACEBACK_BYTES_MAX,
    }


def _print_rates(*, is_driver: bool) -> dict[bytes, int]:
    """The script process prints on its user's own terminal, and nobody else's: no bound."""
    if is_driver:
        names = (b"lines_per_s", b"lines_burst", b"bytes_per_s", b"bytes_burst")
        return {b"print_" + name: _INTEGER_MAX for name in names}
    return {
        b"print_lines_per_s": limits.PRINT_LINES_PER_S,
        b"print_lines_burst": limits.PRINT_LINES_BURST,
        b"print_bytes_per_s": limits.PRINT_BYTES_PER_S,
        b"print_bytes_burst": limits.PRINT_BYTES_BURST,
    }


def _arguments(spec: JobSpec) -> dict[int | bytes, bytes]:
    arguments: dict[int | bytes, bytes] = {i: _bytes(text) for i, text in enumerate(spec.arg)}
    arguments.update((_bytes(name), _bytes(text)) for name, text in spec.named_arg.items())
    return arguments


def _bytes(text: str) -> bytes:
    """A path need not be text."""
    return text.encode(errors="surrogateescape")
