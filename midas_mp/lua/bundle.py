"""The Lua sources of a job: found beside the script, checked, and named by one digest.

``Bundle.collect`` is for the side that has the files, ``Bundle.from_sources`` for the side that
received them; both apply the same checks.  Nothing here runs Lua.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from midas_mp import limits
from midas_mp.errors import ScriptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BOM: Final = b"\xef\xbb\xbf"
_BYTECODE: Final = re.compile(rb"(--#[^\r\n]*[\r\n]+)?\x1b")
"""Its first byte, also where an engine looks for it: behind a first line like ``#!…``."""
_MODULE_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MODULE_NAME_MAX: Final = 256
_MODULE_NAME_SHOWN_MAX: Final = 60
"""Of what is no name at all, and may be megabytes long."""

_TOKEN: Final = re.compile(
    rb"""
      --\[(?P<c>=*)\[ .*? (?: \](?P=c)\] | \Z )     # long comment
    | --[^\n]*                                      # comment
    | (?<![\w.:]) require \s*+ \(?+ \s*+            # require "x"  require("x")  require[[x]]
      (?: "(?P<double>[^"\\\n]*)" | '(?P<single>[^'\\\n]*)'
        | \[(?P<r>=*)\[(?P<long>[^\n]*?)\](?P=r)\] )
    | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'? # strings
    | \[(?P<s>=*)\[ .*? (?: \](?P=s)\] | \Z )       # long string
    """,
    re.VERBOSE | re.DOTALL,
)
"""What must be skipped to find a require that is code, and that require.

What has no end reaches to that of its line, or of the file: looked at again and again, a file of
openings would take hours."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One main file with its modules, ready to travel.

    Attributes:
        main: the file's name in messages (``primes.lua``).
        source: its text.
        modules: module name (``a.b``) to text.
        digest: SHA-256 over all of it: equal digests, equal bundles.
    """

    main: str
    source: bytes
    modules: Mapping[str, bytes]
    digest: str

    @classmethod
    def collect(cls, path: str | os.PathLike[str], extra_modules: Iterable[str] = ()) -> Bundle:
        """The script at ``path`` with the modules that literal requires reach, transitively.

        A module whose file is missing stays out (it is an error where it is called), unless
        ``extra_modules`` asks for it.

        Raises:
            UsageError: a file that is missing, unreadable or too large; too many of them.
            ScriptError: bytecode (kind ``syntax``).
        """
        script = Path(path)
        source = _read(script)
        modules: dict[str, bytes] = {}
        for name in extra_modules:
            if not _is_module_name(name):
                shown = repr(name[:_MODULE_NAME_SHOWN_MAX])
                raise UsageError(f"{shown} is not the name of a Lua module beside {script.name}")
            if not _add(script.parent, name, modules):
                raise UsageError(f"the module {name!r} is not beside {script.name}")
        wanted = [*_requires(source), *(n for text in modules.values() for n in _requires(text))]
        while wanted:
            name = wanted.pop()
            if name not in modules and _add(script.parent, name, modules):
                wanted += _requires(modules[name])
        return cls._make(script.name, source, modules)

    @classmethod
    def from_sources(cls, main: str, names: Sequence[str], sources: Sequence[bytes]) -> Bundle:
        """What arrived: ``sources[0]`` is the main file, ``sources[k]`` the module ``names[k-1]``.

        Raises:
            UsageError: names that are none, or do not fit the sources; too large, too many.
            ScriptError: bytecode (kind ``syntax``).
        """
        if len(sources) != len(names) + 1 or len(set(names)) != len(names):
            raise UsageError("a bundle's module names do not fit its sources")
        for name in names:
            if not _is_module_name(name):
                raise UsageError(f"{name!r} is not the name of a Lua module")
        for name, source in zip((main, *names), sources, strict=True):
            _check_size(name, len(source))
        texts = [_plain(source) for source in sources]
        return cls._make(main, texts[0], dict(zip(names, texts[1:], strict=True)))

    @classmethod
    def _make(cls, main: str, source: bytes, modules: dict[str, bytes]) -> Bundle:
        if len(modules) > limits.BUNDLE_FILES_MAX:
            raise UsageError(
                f"{main} needs {len(modules)} modules; the limit is {limits.BUNDLE_FILES_MAX}"
            )
        _refuse_bytecode(main, source)
        for name, text in modules.items():
            _refuse_bytecode(name, text)
        ordered = dict(sorted(modules.items()))
        return cls(main, source, ordered, _digest(main, source, ordered))


def _digest(main: str, source: bytes, modules: Mapping[str, bytes]) -> str:
    """Every part goes in with its length, so no two bundles read the same."""
    state = hashlib.sha256(b"midas bundle 1")
    parts = [main.encode(errors="surrogateescape"), source]
    for name, text in modules.items():
        parts += [name.encode(), text]
    for part in parts:
        state.update(len(part).to_bytes(8))
        state.update(part)
    return state.hexdigest()


def _is_module_name(name: str) -> bool:
    """Only dots between words: no path, so no way out of the script's folder."""
    return len(name) <= _MODULE_NAME_MAX and _MODULE_NAME.fullmatch(name) is not None


def _requires(source: bytes) -> list[str]:
    names = []
    for match in _TOKEN.finditer(source):
        raw = match["double"] or match["single"] or match["long"]
        if raw is not None:
            name = raw.decode(errors="replace")
            if _is_module_name(name):
                names.append(name)
    return names


def _add(folder: Path, name: str, modules: dict[str, bytes]) -> bool:
    """Reads module ``name`` if its file is there."""
    stem = folder.joinpath(*name.split("."))
    for path in (stem.with_name(stem.name + ".lua"), stem / "init.lua"):
        if path.is_file():
            modules[name] = _read(path)
            return True
    return False


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a Lua script")
        if path.exists() and not path.is_file():
            # opening a pipe that nobody writes to would block, for ever
            raise UsageError(f"{path} is a pipe or a device: save the script to a file first")
        with path.open("rb") as file:
            data = file.read(limits.SCRIPT_BYTES_MAX + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}") from None
    _check_size(str(path), len(data))
    return _plain(data)


def _check_size(name: str, size_bytes: int) -> None:
    if size_bytes > limits.SCRIPT_BYTES_MAX:
        limit = limits.SCRIPT_BYTES_MAX // limits.MB
        raise UsageError(f"{name} is larger than {limit} MB, the limit of a Lua source")


def _plain(source: bytes) -> bytes:
    """Without byte order mark, and with a first line like ``#!/usr/bin/lua`` turned into a
    comment, so that line numbers stay what they were.
    """
    source = source.removeprefix(_BOM)
    return b"--" + source if source.startswith(b"#") else source


def _refuse_bytecode(name: str, source: bytes) -> None:
    """Loading foreign bytecode is running machine code."""
    if _BYTECODE.match(source):
        raise ScriptError("syntax", f"{name} is Lua bytecode; only Lua source is run")
