"""Prints what docs/protocol.md says about messages and states, from the tables of the package.

    python docs/print_protocol.py            rewrites the printed parts of docs/protocol.md
    python docs/print_protocol.py --check    exit code 1 if that would change it

The text between the marks ``<!-- printed: NAME -->`` and ``<!-- end -->`` is printed, the rest is
written by hand.
"""

from __future__ import annotations

import argparse
import ast
import enum
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from midas_mp import limits
from midas_mp.scheduler import tables
from midas_mp.wire import joining, local, management, messages
from midas_mp.wire.conversation import TRANSITIONS, ConversationState
from midas_mp.wire.messages import Message
from midas_mp.wire.vocabulary import VOCABULARY, WORKER_CHANNEL, AnyMessage

PAGE: Final = Path(__file__).with_name("protocol.md")

PARTS: Final = (
    messages.JobSpec,
    messages.Call,
    messages.Outcome,
    messages.TaskRef,
    management.NodeReport,
    management.JobReport,
    local.BlobRef,
    messages.Failure,
)
"""Structs inside messages and payloads."""

ENUMERATIONS: Final = (
    messages.Role,
    messages.Status,
    messages.CallForm,
    management.Action,
    management.ControlResult,
)

ALIASES: Final = {messages.Count: "count", messages.Name: "name", messages.Digest: "digest"} | {
    messages.Text: "text"
}
"""Types that are explained once."""


def printed(page: str) -> str:
    """The page with its printed parts made anew."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n{PRINTERS[match[2]]().strip()}\n\n{match[3]}"

    return re.sub(r"(<!-- printed: (\w+) -->)\n.*?(<!-- end -->)", part, page, flags=re.DOTALL)


# -- messages ----------------------------------------------------------------------------------


def message_list() -> str:
    kinds: tuple[type[Message], ...] = typing.get_args(AnyMessage)
    return "\n\n".join(_describe(kind) for kind in sorted(kinds, key=_tag))


def part_list() -> str:
    return "\n\n".join([*map(_describe, PARTS), *map(_enumerate, ENUMERATIONS)])


def joining_words() -> str:
    words = {
        joining.Word.OPENING: joining.Opening,
        joining.Word.CHALLENGE: joining.Challenge,
        joining.Word.RESPONSE: joining.Response,
        joining.Word.DENIAL: joining.Denial,
    }
    rows = ["| kind | word | fields | |", "|---|---|---|---|"]
    for kind, word in words.items():
        names = ", ".join(f"`{name}`" for name in word.__struct_fields__)
        rows.append(f"| {kind} | {word.__name__} | {names} | {inspect.getdoc(word)} |")
    return "\n".join(rows)


def vocabulary() -> str:
    rows = ["| speaker | listener | may say |", "|---|---|---|"]
    for (speaker, listener), words in VOCABULARY.items():
        names = ", ".join(f"[{word.__name__}](#{_anchor(word)})" for word in words)
        rows.append(f"| {speaker} | {listener} | {names} |")
    return "\n".join(rows)


def _tag(kind: type[Any]) -> int:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


def _anchor(kind: type[Any]) -> str:
    return f"{_tag(kind)}-{kind.__name__}".lower()


def _describe(kind: type[Any]) -> str:
    is_message = issubclass(kind, Message)
    title = f"### {_tag(kind)} {kind.__name__}" if is_message else f"### {kind.__name__}"
    lines = [title, "", *_paragraph(inspect.getdoc(kind) or "")]
    if is_message:
        lines += ["", f"Said by {_speakers(kind)}."]
    fields = _rows(kind)
    if fields:
        lines += ["", "| | field | type | default | |", "|---|---|---|---|---|", *fields]
    return "\n".join(lines)


def _enumerate(kind: type[enum.Enum]) -> str:
    notes = _notes(kind)
    rows = [f"| `{word.value}` | {word.name} | {notes.get(word.name, '')} |" for word in kind]
    lines = [f"### {kind.__name__}", "", *_paragraph(inspect.getdoc(kind) or ""), ""]
    return "\n".join([*lines, "| value | name | |", "|---|---|---|", *rows])


def _speakers(kind: type[Any]) -> str:
    said = [f"{a} → {b}" for (a, b), words in VOCABULARY.items() if kind in words]
    channel = ", on the worker's channel" if kind in WORKER_CHANNEL else ""
    return ", ".join(said) + channel


def _rows(kind: type[Any]) -> list[str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    notes = _notes(kind)
    offset = 1 if issubclass(kind, Message) else 0  # the tag comes first
    is_map = not kind.__struct_config__.array_like
    return [
        f"| {'' if is_map else position + offset} | `{field.name}` "
        f"| {_type(hints[field.name])} | {_default(field)} | {notes.get(field.name, '')} |"
        for position, field in enumerate(msgspec.structs.fields(kind))
    ]


def _type(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in ALIASES:
        name = ALIASES[hint]
    elif origin is typing.Annotated:
        name = " ".join([_type(args[0]), *_bounds(args[1])])
    elif origin is list:
        name = f"array of {_type(args[0])}"
    elif origin is dict:
        name = f"map of {_type(args[0])} to {_type(args[1])}"
    elif args:
        name = " or ".join(_type(arg) for arg in args)
    elif issubclass(hint, Struct | enum.Enum):
        name = f"[{hint.__name__}](#{hint.__name__.lower()})"
    else:
        name = "nil" if hint is type(None) else hint.__name__
    return name


def _bounds(meta: msgspec.Meta) -> Iterator[str]:
    if meta.ge is not None:
        yield f"{meta.ge:g} … {meta.le:g}"
    if meta.max_length is not None:
        yield f"of up to {meta.max_length}"
    if meta.pattern is not None:
        yield f"like `{meta.pattern}`"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        default = field.default.value if isinstance(field.default, enum.Enum) else field.default
        return f"`{'nil' if default is None else repr(default)}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    return ""


def _notes(kind: type[Any]) -> dict[str, str]:
    """What stands below each field in the source."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    notes = {}
    for field, note in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign | ast.Assign) and isinstance(note, ast.Expr):
            target = field.target if isinstance(field, ast.AnnAssign) else field.targets[0]
            assert isinstance(target, ast.Name)
            assert isinstance(note.value, ast.Constant)
            notes[target.id] = " ".join(_paragraph(str(note.value.value)))
    return notes


def _paragraph(text: str) -> list[str]:
    return [line.strip().replace("``", "`") for line in text.strip().splitlines()]


# -- states ------------------------------------------------------------------------------------


def conversation_diagram() -> str:
    moves = [(a.value, t.value, b.value) for (a, t), b in TRANSITIONS.items()]
    starts = [ConversationState.NEW.value, ConversationState.STARTING.value]
    return _diagram(starts, moves, [ConversationState.CLOSED.value])


def _table_diagram(table: tables.Table[Any]) -> Callable[[], str]:
    def diagram() -> str:
        moves = [(a.value, t, b.value) for t, row in table.items() for a, b in row.items()]
        after = {b for _, _, b in moves}
        before = {a for a, _, _ in moves}
        starts = [a for a in dict.fromkeys(a for a, _, _ in moves) if a not in after]
        ends = [b for b in dict.fromkeys(b for _, _, b in moves) if b not in before]
        return _diagram(starts or [moves[0][0]], moves, ends)

    return diagram


def _diagram(starts: list[str], moves: list[tuple[str, str, str]], ends: list[str]) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in starts]
    lines += [f"    {before} --> {after}: {trigger}" for before, trigger, after in moves]
    lines += [f"    {state} --> [*]" for state in ends]
    return "\n".join([*lines, "```"])


def bounds() -> str:
    rows = [
        ("a header", limits.HEADER_BYTES_MAX),
        ("a header before the greeting is over", limits.HEADER_BYTES_MAX_GREETING),
        ("all buffers of a frame", limits.PAYLOAD_BYTES_MAX),
        ("one part of shared data", limits.SHARED_PART_BYTES_MAX),
        ("one printed text", limits.PRINT_BYTES_MAX),
        ("one source file", limits.SCRIPT_BYTES_MAX),
    ]
    lines = [f"| {what} | {size:,} bytes |" for what, size in rows]
    lines += [
        f"| buffers of a frame | {limits.BUFFERS_MAX:,} |",
        f"| tasks of a frame | {limits.TASKS_PER_FRAME_MAX:,} |",
    ]
    return "\n".join(["| | at most |", "|---|---|", *lines])


PRINTERS: Final[dict[str, Callable[[], str]]] = {
    "version": lambda: f"This is protocol version {messages.PROTOCOL_VERSION}.",
    "bounds": bounds,
    "vocabulary": vocabulary,
    "messages": message_list,
    "joining": joining_words,
    "parts": part_list,
    "conversation": conversation_diagram,
    "node": _table_diagram(tables.NODE),
    "worker": _table_diagram(tables.WORKER),
    "job": _table_diagram(tables.JOB),
    "task": _table_diagram(tables.TASK),
}


def main() -> int:
    options = argparse.ArgumentParser(description="Print the protocol from the tables.")
    options.add_argument("--check", action="store_true", help="change nothing, only tell")
    is_check = options.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    new = printed(old)
    if new == old:
        return 0
    if is_check:
        sys.stderr.write(f"{PAGE.name} is not what the tables say: run {Path(__file__).name}\n")
        return 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
