"""Messages of every kind, made up by hypothesis from their own types."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import strategies as st

from midas_mp.wire import management
from midas_mp.wire import messages as words
from midas_mp.wire.messages import Message
from midas_mp.wire.vocabulary import AnyMessage

TYPES: tuple[type[Message], ...] = typing.get_args(AnyMessage)

names = st.from_regex(r"\A[\w.@+-]{1,20}\Z").filter(lambda name: len(name) <= 128)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(0, 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

_BY_ALIAS = {
    words.Name: names,
    words.Label: names | st.just(""),
    words.Digest: digests,
    words.Count: counts,
    words.Text: texts,
}
_BY_FIELD = {
    "node_id": st.text("0123456789abcdef", min_size=1, max_size=64),
    "ticket": st.text("0123456789abcdef", min_size=1, max_size=64),
    "where": st.text("midas-09_", min_size=1, max_size=100),
    "seed": st.integers(-(2**63), 2**64 - 1),
    "timeout_s": st.floats(0, 1e9),
    "target": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    "grace_s": st.floats(0, 1e9),
    "timeout_factor": st.floats(0, 1e9),
    "fraction": st.floats(0, 1),
    "elapsed_s": st.floats(0, 1e9),
    "permits": st.text(max_size=60),
    "permissions": st.none() | st.lists(names, max_size=4),
    "channel": st.integers(1, 65_535),
    "retries": st.integers(0, 1_000),
    "workers_min": st.integers(1, 65_535),
    "workers_announced": st.integers(0, 65_535),
    "sandbox_level": st.integers(0, 3),
}
_BY_TYPE = {
    str: texts,
    bool: st.booleans(),
    words.Role: st.sampled_from(words.Role),
    words.Status: st.sampled_from(words.Status),
    words.CallForm: st.sampled_from(words.CallForm),
    management.Action: st.sampled_from(management.Action),
    management.ControlResult: st.sampled_from(management.ControlResult),
    dict[str, str]: st.dictionaries(texts, texts, max_size=3),
    words.Count | None: st.none() | counts,
    words.TaskRef | None: st.none() | st.builds(words.TaskRef, names, counts, counts),
}


def _of_type(hint: typing.Any, field: str) -> st.SearchStrategy[typing.Any]:
    known = _BY_FIELD.get(field, _BY_ALIAS.get(hint))
    if known is not None:
        return known
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is list:
        return st.lists(_of_type(typing.get_args(hint)[0], ""), max_size=5)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    return _BY_TYPE[hint]


def structs(kind: type) -> st.SearchStrategy[typing.Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {f: _of_type(hints[f], f) for f in kind.__struct_fields__}
    return st.builds(kind, **fields)


@pytest.fixture(scope="session")
def message_types() -> tuple[type[Message], ...]:
    return TYPES


@pytest.fixture(scope="session")
def any_message() -> st.SearchStrategy[Message]:
    return st.one_of([structs(kind) for kind in TYPES])
