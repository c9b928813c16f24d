"""The command lines of the first Midas (the Rust program), turned into today's.

    midas --address=HOST:PORT host --script FILE            midas host FILE --address=HOST:PORT
    midas -a HOST:PORT participant --name=laptop -t 4   ▸   midas participant … --workers 4
    midas --mode=host --address=HOST:PORT --script"FILE"    midas host FILE --address=HOST:PORT

Its words stood before the command or after it, and a value could follow its option without a
space.  Whatever is not among them is left as it is, and so is all that follows ``--``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

COMMANDS: Final = frozenset({"host", "participant"})
"""Of the first Midas; today's ``run`` takes the words that stood before the command as well."""

OWN_FLAGS: Final = frozenset({"--debug", "--version", "-h", "--help"})
"""What stands before a command today."""

_SHORT: Final = {"-a": "--address", "-s": "--script", "-n": "--name", "-t": "--threads"}
_LONG: Final = ("--mode", "--address", "--script", "--name", "--threads")


def translate(args: Sequence[str]) -> list[str]:
    """Today's words for a command line; the same list where nothing of the first Midas is in it."""
    before, command, after = _split(args)
    said = dict(_values(before))
    mode = said.pop("--mode", None)
    flags = [word for word in before if word in OWN_FLAGS]
    if not said and mode is None and command not in COMMANDS:
        return list(args)
    if command is None:
        if mode is None:
            return list(args)
        command = mode
    moved = [word for option, value in said.items() for word in (option, value)]
    return [*flags, command, *_modern(command, [*moved, *after])]


def _split(args: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """What stands before the command, the command, what stands after it.

    Without a command the first word that the first Midas did not know ends what stands before.
    """
    position = 0
    while position < len(args):
        word = args[position]
        option, value = _parse(word)
        if option is None and word not in OWN_FLAGS:
            if word.startswith("-"):
                return list(args[:position]), None, list(args[position:])
            return list(args[:position]), word, list(args[position + 1 :])
        position += 2 if option is not None and value is None else 1
    return list(args), None, []


def _parse(word: str) -> tuple[str | None, str | None]:
    """Which option of the first Midas a word is, and the value that it carries itself."""
    if word in _SHORT:
        return _SHORT[word], None
    for option in _LONG:
        if word == option:
            return option, None
        if word.startswith(option + "="):
            return option, word.removeprefix(option + "=")
    if word.startswith("--script"):
        return "--script", word.removeprefix("--script")
    return None, None


def _values(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    left = iter(words)
    for word in left:
        option, value = _parse(word)
        if option is not None:
            yield option, next(left, "") if value is None else value


def _modern(command: str, words: list[str]) -> list[str]:
    """The words after a command: the script loses its option, threads are workers."""
    if command not in COMMANDS:
        return words
    end = words.index("--") if "--" in words else len(words)
    left = iter(words[:end])
    modern: list[str] = []
    for word in left:
        option, value = _parse(word)
        rename = _NAMES.get((command, option or ""))
        if rename is None:
            modern.append(word)
        else:
            modern += rename(next(left, "") if value is None else value)
    return modern + words[end:]


_NAMES: Final[dict[tuple[str, str], Callable[[str], list[str]]]] = {
    ("host", "--script"): lambda value: [value],
    ("host", "--address"): lambda value: ["--address", value],
    ("participant", "--address"): lambda value: ["--address", value],
    ("participant", "--name"): lambda value: ["--name", value],
    ("participant", "--threads"): lambda value: ["--workers", value],
}
