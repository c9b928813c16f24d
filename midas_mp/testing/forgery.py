"""Forged messages: right in form, by a peer that says whatever it likes.

What a message may hold is read from its type, so that a new message is forged as soon as there is
one.  Ids are drawn from a few, so that forgers often hit what others, or they themselves, have
begun.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from midas_mp import limits
from midas_mp.testing.chance import Chance
from midas_mp.testing.mutation import FLOATS, INTERESTING, TEXTS, noise, tamper
from midas_mp.wire.conversation import CHANNEL_MAX
from midas_mp.wire.framing import CONTROL_CHANNEL, PREFIX, Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, Goodbye, Message, PutBundle, Role, RunTasks
from midas_mp.wire.vocabulary import VOCABULARY, WORKER_CHANNEL

JOBS: Final = ("job-a", "job-b", "job-c")
DIGESTS: Final = ("0" * 64, "1" * 64, "f" * 64)
NODES: Final = ("a0", "b1", "c2")
PEERS: Final = ("mallory", "eve", "mallory-2")

_KNOWN: Final[dict[str, tuple[Any, ...]]] = {
    "job": JOBS,
    "digest": DIGESTS,
    "node_id": NODES,
    "name": PEERS,
    "protocol": (PROTOCOL_VERSION,) * 30 + (0, PROTOCOL_VERSION + 1, 2**53),
    "round": (0, 0, 0, 0, 1, 2, 2**53),
    "index": (*range(6), 2**53),
    "attempt": (0, 0, 0, 1, 2**53),
    "channel": (1, 2, 3, 65_535),
    "engine": ("luajit", "luajit", "luajit", "lua5.4", "lua9"),
    "engines": (["luajit"], ["luajit", "lua5.4"], []),
    "epoch": (0, 0, 0, 1, 2**53),
    "count": (0, 1, 4, 2**53),
    "entry": ("execute_code", "generate_data", "function", "os.execute"),
    "workers_min": (1, 1, 1, 2, 65_535),
    "pool": (0, 1, 2),
}
"""What a field of this name holds as a rule."""

_STRANGE: Final = 0.08
"""How often a field holds something else that its type allows."""

_BATCH_SIZES: Final = (0, 1, 1, 1, 2, 3, 6)
_BATCH_SIZES_LARGE: Final = (limits.TASKS_PER_FRAME_MAX + 1, 600, 2_000)
_LARGE: Final = 0.01

_WORD: Final = string.ascii_letters + string.digits
_ALPHABETS: Final = {
    r"^[\w.@+-]+\Z": _WORD + "_.@+-" + "éЖ中",
    r"^[\w.@+-]*\Z": _WORD + "_.@+-",
    r"^[0-9a-f]+\Z": "0123456789abcdef",
    r"^[\w-]+\Z": _WORD + "_-",
}
_BUFFER_SIZES: Final = (0, 1, 7, 40, 1_000)


def forged(rng: Chance, kind: type[Message]) -> Any:
    """A message of this kind that keeps to its types."""
    return _forge_struct(rng, _struct_of(kind), "")


def bent(rng: Chance, message: Message) -> Any:
    """The same message, but for one field that holds something else."""
    fields = _struct_of(type(message)).fields
    if not fields:
        return message
    field = rng.choice(fields)
    changed = {field.name: _forge_type(rng, field.type, field.name)}
    return msgspec.structs.replace(message, **changed)


def forged_frame(rng: Chance, kind: type[Message]) -> Frame:
    """A frame whose buffers fit the message, as a rule."""
    message = forged(rng, kind)
    count = _buffer_count(message)
    if rng.happens(_STRANGE):
        count = rng.choice((0, 1, 2, 5))
    buffers = [rng.randbytes(rng.choice(_BUFFER_SIZES)) for _ in range(min(count, 5_000))]
    channel = CONTROL_CHANNEL
    if (kind in WORKER_CHANNEL) is not rng.happens(_STRANGE / 4):
        channel = rng.choice((1, 1, 2, 3, CHANNEL_MAX))
    return Frame(channel, message, buffers)


def forged_word(rng: Chance, speaker: Role, listener: Role) -> Frame:
    """A frame of what the one may say to the other; seldom its last one."""
    words = VOCABULARY[speaker, listener]
    kind = rng.choice(words)
    if kind is Goodbye and rng.happens(0.9):
        kind = rng.choice(words)
    return forged_frame(rng, kind)


def spoilt(rng: Chance, frame: Frame) -> bytes:
    """The bytes of a frame, and something wrong with them; they may be any number of frames."""
    header = msgspec.msgpack.encode([frame.message, [len(buffer) for buffer in frame.buffers]])
    body = b"".join(frame.buffers)
    match rng.randrange(6):
        case 0:
            header = tamper(rng, header)
        case 1:
            header = msgspec.msgpack.encode(_rearranged(rng, msgspec.msgpack.decode(header)))
        case 2:
            body = tamper(rng, body)
        case 3:
            return tamper(rng, PREFIX.pack(len(header), frame.channel) + header + body)
        case 4:
            sizes = [rng.choice(INTERESTING) for _ in range(rng.choice((1, 2, 9_000)))]
            header = msgspec.msgpack.encode([frame.message, sizes])
        case _:
            return noise(rng)
    return PREFIX.pack(len(header), frame.channel) + header + body


# -- by type -----------------------------------------------------------------------------------


@functools.cache
def _struct_of(kind: type[Message]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _forge_type(rng: Chance, kind: inspect.Type, name: str) -> Any:
    if name in _KNOWN and not rng.happens(_STRANGE):
        return rng.choice(_KNOWN[name])
    return _FORGERS[type(kind)](rng, kind, name)


def _forge_struct(rng: Chance, kind: inspect.StructType, _name: str) -> Any:
    fields = kind.fields
    if rng.happens(0.1):
        # the rest is left to its defaults
        fields = tuple(field for field in fields if field.required)
    return kind.cls(**{each.name: _forge_type(rng, each.type, each.name) for each in fields})


def _forge_int(rng: Chance, kind: inspect.IntType, _name: str) -> int:
    low = kind.ge if kind.ge is not None else -(2**63)
    high = kind.le if kind.le is not None else 2**63 - 1
    if rng.happens(0.7):
        return max(low, min(high, rng.randint(0, 3)))
    return max(low, min(high, rng.choice(INTERESTING)))


def _forge_float(rng: Chance, kind: inspect.FloatType, _name: str) -> float:
    low = kind.ge if kind.ge is not None else -1e308
    high = kind.le if kind.le is not None else 1e308
    number = rng.choice((0.5, float(low), float(high), *FLOATS))
    return number if low <= number <= high else float(low)


def _forge_text(rng: Chance, kind: inspect.StrType, _name: str) -> str:
    shortest, longest = kind.min_length or 0, kind.max_length or 10_000
    if kind.pattern is None:
        text = rng.choice(TEXTS) or "x" * shortest
        return text * (longest // len(text)) if text and rng.happens(0.05) else text[:longest]
    size = longest if rng.happens(0.1) else min(longest, max(shortest, rng.randint(1, 8)))
    return "".join(rng.choice(_ALPHABETS[kind.pattern]) for _ in range(size))


def _forge_list(rng: Chance, kind: inspect.ListType, name: str) -> list[Any]:
    if rng.happens(_LARGE):
        same = _forge_type(rng, kind.item_type, _SINGULAR.get(name, name))
        return [same] * rng.choice(_BATCH_SIZES_LARGE)
    item = _SINGULAR.get(name, name)
    return [_forge_type(rng, kind.item_type, item) for _ in range(rng.choice(_BATCH_SIZES))]


def _forge_dict(rng: Chance, _kind: inspect.DictType, _name: str) -> dict[str, str]:
    return {rng.choice(TEXTS): rng.choice(TEXTS) for _ in range(rng.choice((0, 0, 1, 3)))}


_SINGULAR: Final = {"indices": "index", "digests": "digest", "engines": "engine"}

_Forger = Callable[[Chance, Any, str], Any]

_FORGERS: Final[dict[type[inspect.Type], _Forger]] = {
    inspect.StructType: _forge_struct,
    inspect.IntType: _forge_int,
    inspect.FloatType: _forge_float,
    inspect.StrType: _forge_text,
    inspect.ListType: _forge_list,
    inspect.DictType: _forge_dict,
    inspect.BoolType: lambda rng, _kind, _name: rng.happens(0.5),
    inspect.BytesType: lambda rng, _kind, _name: noise(rng),
    inspect.NoneType: lambda _rng, _kind, _name: None,
    inspect.EnumType: lambda rng, kind, _name: rng.choice(list(kind.cls)),
    inspect.UnionType: lambda rng, kind, name: _forge_type(rng, rng.choice(kind.types), name),
}


# -- frames ------------------------------------------------------------------------------------


def _buffer_count(message: Any) -> int:
    match message:
        case RunTasks():
            return sum(call.buffer_count for call in message.calls)
        case PutBundle():
            return 1 + len(message.modules)
    outcomes = getattr(message, "outcomes", None)
    if outcomes is not None:
        return sum(outcome.buffer_count for outcome in outcomes)
    return _BUFFERS.get(type(message).__name__, 0)


_BUFFERS: Final = {"TaskPrinted": 1, "SharedPart": 1, "SharedData": 2, "ScriptLoaded": 1}


def _rearranged(rng: Chance, value: Any) -> Any:
    """A value of msgpack with one of its parts changed for something else."""
    if not isinstance(value, list) or not value or rng.happens(0.2):
        return rng.choice((None, True, -1, 2**63, 1.5, "text", b"bytes", [], {}, [[]] * 20))
    items = list(value)
    place = rng.randrange(len(items))
    match rng.randrange(6):
        case 0:
            del items[place]
        case 1:
            items.insert(place, rng.choice(INTERESTING))
        case 2:
            other = rng.randrange(len(items))
            items[place], items[other] = items[other], items[place]
        case _:
            items[place] = _rearranged(rng, items[place])
    return items
