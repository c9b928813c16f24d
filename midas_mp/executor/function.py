"""What a user may call: Lua source of a function, or a function of a Lua file."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from midas_mp.driver.excerpt import source_line
from midas_mp.errors import MidasError, ScriptError, UsageError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.messages import RETURNED

SOURCE_NAME: Final = "function"
"""What messages call source that is no file: ``function:1: attempt to …``."""

_KEPT_MAX: Final = 1_024
"""Sources whose bundles are kept: a program has a handful, written out in it."""

_NAME: Final = re.compile(r"[A-Za-z_]\w{0,127}", re.ASCII)
_ANONYMOUS: Final = re.compile(
    r"(?> \s | --\[(?P<c>=*)\[ .*? \](?P=c)\] | --[^\n]*+ )*+ function \s* \(",
    re.VERBOSE | re.DOTALL,
)
"""A function without a name, behind blanks and comments; none of which is ever looked into."""

_SHOWN_CHARACTERS_MAX: Final = 48


class LuaFunction(NamedTuple):
    """A function ready to travel.

    Attributes:
        bundle: the source that defines it, with its modules.
        entry: its name there; or that what the source returns is it.
    """

    bundle: Bundle
    entry: str

    @property
    def name(self) -> str | None:
        """None for one that has none."""
        return None if self.entry == RETURNED else self.entry

    def explained(self, error: MidasError) -> MidasError:
        """The same error; a script error with the line of source that it points at."""
        if isinstance(error, ScriptError) and error.excerpt is None:
            error.excerpt = source_line(self.bundle, error.message)
        return error

    def __str__(self) -> str:
        if self.name is not None:
            return f"{self.bundle.main}:{self.name}"
        text = " ".join(self.bundle.source.decode(errors="replace").split())
        text = text.removeprefix("return ")
        if len(text) > _SHOWN_CHARACTERS_MAX:
            text = text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
        return text

    def __repr__(self) -> str:
        return f"<Lua function {self}>"


def lua_function(
    path: str | os.PathLike[str], name: str, *, modules: Iterable[str] = ()
) -> LuaFunction:
    """A global function of a Lua file, with the modules that the file requires.

    Args:
        path: the file; its top level runs before the function is called.
        name: of the function.
        modules: beside those that literal requires name.

    Raises:
        UsageError: there is no such file or module, or that is no name of a function.
        ScriptError: the file is bytecode.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == RETURNED:
        raise UsageError(f"{name!r} is not the name of a Lua function")
    return LuaFunction(Bundle.collect(path, modules), name)


def as_function(function: LuaFunction | str) -> LuaFunction:
    """What a user gave as a function.

    Raises:
        TypeError: it is something else.
        UsageError: it is too large.
        ScriptError: it is bytecode.
    """
    if type(function) is LuaFunction:
        return function
    if isinstance(function, str):
        return _from_source(function)
    kind = "a Python function" if callable(function) else f"a {type(function).__name__}"
    raise TypeError(
        f"{kind} cannot be sent: give Lua source, such as 'function(x) return x * x end', or "
        "midas_mp.lua_function(path, name)"
    )


@functools.lru_cache(maxsize=_KEPT_MAX)
def _from_source(source: str) -> LuaFunction:
    """``function(x) … end`` is the function; any other source is a chunk that returns one."""
    prefix = "return " if _ANONYMOUS.match(source) else ""
    text = (prefix + source).encode("utf-8", "surrogateescape")
    return LuaFunction(Bundle.from_sources(SOURCE_NAME, [], [text]), RETURNED)
