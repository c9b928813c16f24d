"""What a person may write for a duration, a size, a number of tasks; and a job's options.

The same words are understood on the command line, in ``MIDAS_*`` variables and in a script's
``config`` table.  Which of them wins is decided in one place, ``JobOptions.with_script_config``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from midas_mp import __version__, limits
from midas_mp.errors import UsageError
from midas_mp.permissions import KINDS, parse_kind

VARIABLES: Final[Mapping[str, str]] = {
    "token": "MIDAS_TOKEN",
    "token_file": "MIDAS_TOKEN_FILE",
    "tls_cert": "MIDAS_TLS_CERT",
    "tls_key": "MIDAS_TLS_KEY",
    "tls_ca": "MIDAS_TLS_CA",
    "insecure": "MIDAS_INSECURE",
}
"""By which both commands and programs are told how to be let in at a host."""

_OFF: Final = frozenset({"", "0", "false", "f", "no", "n", "off"})

UNSAID: Final = (None, ())
"""What an option is where the user said nothing."""

OnError = Literal["stop", "continue"]
EngineName = Literal["luajit", "lua5.4", "lua5.5"]

_ENGINES: Final[Mapping[str, EngineName]] = {
    "luajit": "luajit",
    "5.4": "lua5.4",
    "lua5.4": "lua5.4",
    "5.5": "lua5.5",
    "lua5.5": "lua5.5",
}

_RELEASE: Final = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(I?B)?", re.IGNORECASE)
_SIZE_UNITS: Final = {"": 1, "K": limits.KB, "M": limits.MB, "G": limits.GB, "T": 1024 * limits.GB}

_SHOWN_CHARACTERS_MAX: Final = 60
"""Of a word that makes no sense: a script may have made it megabytes long."""


def is_set(variable: str) -> bool:
    """Whether what a variable says is more than what click takes for a flag that is not set."""
    return variable.strip().lower() not in _OFF


def parse_duration(text: str) -> float:
    """``20s``, ``500ms``, ``1.5m``, ``2h`` or plain seconds, in seconds.

    Raises:
        UsageError: it is none of these, not above zero, or more than a message may say.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _DURATION_UNITS[(match[2] or "s").lower()] if match else 0.0
    if not 0 < seconds <= limits.DURATION_S_MAX:
        raise UsageError(f"{_shown(text)} is not a duration; write it like 20s, 500ms, 5m or 1h")
    return seconds


def parse_size(text: str) -> int:
    """``256MB``, ``1.5GB``, ``64k`` or plain bytes, in bytes; MB is 2**20.

    Raises:
        UsageError: it is none of these, below 1 MB, where no Lua state can live, or beyond what
            any machine has.
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * _SIZE_UNITS[match[2].upper()] if match else 0.0
    if not limits.MB <= size <= limits.MEMORY_BYTES_MAX:
        raise UsageError(
            f"{_shown(text)} is not a memory size from 1MB to 1024TB; write it like 256MB or 2GB"
        )
    return int(size)


def parse_engine(text: str) -> EngineName:
    """``luajit``, ``5.4`` or ``5.5`` (``lua5.4`` too), as it is called on the wire.

    Raises:
        UsageError: it is none of these.
    """
    engine = _ENGINES.get(text.strip().lower())
    if engine is None:
        raise UsageError(f"{_shown(text)} is no Lua that Midas runs; choose luajit, 5.4 or 5.5")
    return engine


@dataclasses.dataclass(frozen=True, slots=True)
class TaskCount:
    """How many tasks a round has: a number, or so many for each worker."""

    number: int
    is_per_worker: bool = False

    @classmethod
    def parse(cls, text: str) -> TaskCount:
        """``1000`` or ``4x``.

        Raises:
            UsageError: it is neither.
        """
        match = re.fullmatch(r"(\d{1,12})(x?)", text.strip().lower())
        if match is None or (match[2] and int(match[1]) == 0):
            raise UsageError(
                f"{_shown(text)} is not a number of tasks; "
                "write it like 1000, or 4x for four per worker"
            )
        return cls(int(match[1]), bool(match[2]))

    def __str__(self) -> str:
        return f"{self.number}{'x' if self.is_per_worker else ''}"

    def resolve(self, workers: int) -> int:
        return self.number * workers if self.is_per_worker else self.number


@dataclasses.dataclass(frozen=True, slots=True)
class TimeLimit:
    """Bound of each call: seconds, or so many times what the median task takes."""

    number: float
    is_relative: bool = False

    @classmethod
    def parse(cls, text: str) -> TimeLimit:
        """``20s`` (or any duration), or ``5x``.

        Raises:
            UsageError: it is neither, or a factor that most tasks would exceed.
        """
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{0,6})?)x", text.strip().lower())
        if match is None:
            return cls(parse_duration(text))
        if float(match[1]) <= 1:
            raise UsageError(f"{_shown(text)} would end every second task; write it like 5x")
        return cls(float(match[1]), is_relative=True)

    @property
    def seconds(self) -> float:
        """0 where it depends on the tasks."""
        return 0.0 if self.is_relative else self.number

    @property
    def factor(self) -> float:
        """Of the median; 0 where that does not matter."""
        return self.number if self.is_relative else 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What the user, and where the user said nothing the script, wants of a job.

    None means: not said.
    """

    tasks: TaskCount | None = None
    timeout: TimeLimit | None = None
    memory_bytes: int | None = None
    driver_memory_bytes: int | None = None
    on_error: OnError | None = None
    retries: int | None = None
    """How often a task that failed is tried again."""
    isolate: bool | None = None
    seed: int | None = None
    arg: tuple[str, ...] = ()
    arg_named: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What ``--arg key=value`` said."""
    engine: EngineName | None = None
    """Which Lua; a script says it as ``config.requires.lua``."""
    workers_min: int = 1
    wait_s: float | None = None
    """How long to wait for ``workers_min`` workers; None is for as long as it takes."""
    modules: tuple[str, ...] = ()
    """Modules to ship beside those that literal requires name."""
    permissions: tuple[str, ...] | None = None
    """The kinds (see ``permissions``) that a script asks for; None is all there are."""
    denied: tuple[str, ...] = ()
    """Kinds that the user lets it have nowhere."""
    allow_write: tuple[str, ...] = ()
    """Folders below which its own functions may write, besides the working directory."""

    @property
    def kinds_asked(self) -> list[str] | None:
        """What the job is to have where it is granted; None is all of it."""
        if self.permissions is None and not self.denied:
            return None
        asked = KINDS if self.permissions is None else self.permissions
        return [kind for kind in KINDS if kind in asked and kind not in self.denied]

    def with_script_config(self, config: object) -> JobOptions:
        """These options with the script's ``config`` table where they say nothing.

        Raises:
            UsageError: the table has a key or a value that means nothing, or requires what is not
                to be had.
        """
        if config is None:
            return self
        if isinstance(config, list) and not config:
            return self
        if not isinstance(config, Mapping):
            raise UsageError("config must be a table with names as keys")
        said: dict[str, Any] = {}
        for key, value in config.items():
            reader = _CONFIG_READERS.get(key)
            if reader is None:
                known = ", ".join(sorted(_CONFIG_READERS))
                raise UsageError(f"config.{_cut(str(key))} is unknown; known are: {known}")
            name, read = reader
            try:
                said[name] = read(value)
            except (UsageError, TypeError, ValueError) as error:
                raise UsageError(f"config.{key}: {error}") from None
        wanted = said.get("engine")
        if wanted and self.engine and wanted != self.engine:
            raise UsageError(
                f"config.requires: the script is for {wanted}, but --lua asks for {self.engine}; "
                "leave out --lua, or change the script"
            )
        unsaid = {n: value for n, value in said.items() if getattr(self, n) in UNSAID}
        return dataclasses.replace(self, **unsaid)


def check_arguments(script: Path, options: JobOptions) -> None:
    """Whether a script's path and arguments can travel.

    Raises:
        UsageError: no working directory; a path or an argument that is not UTF-8, which is what
            travels; too many of them.
    """
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working directory is gone; change to another one") from None
    words = [*options.arg, *(word for pair in options.arg_named.items() for word in pair)]
    for text in (str(folder), str(script.resolve()), *words):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{text!a} is not UTF-8; arguments and paths must be") from None
    # each one with what msgpack puts before it
    size_bytes = sum(len(text.encode()) + 5 for text in (str(script), *words))
    if size_bytes > limits.ARGUMENT_BYTES_MAX:
        raise UsageError(
            f"the script's arguments are {size_bytes} bytes long, the limit is "
            f"{limits.ARGUMENT_BYTES_MAX}; put them into a file that generate_data reads"
        )


def _read_tasks(value: object) -> TaskCount:
    return TaskCount.parse(value if isinstance(value, str) else str(_read_whole(value)))


def _read_whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{_shown(value)} is not a whole number of 0 or more")
    return value


def _read_retries(value: object) -> int:
    number = _read_whole(value)
    if number > limits.RETRIES_MAX:
        raise UsageError(f"{number} is more than {limits.RETRIES_MAX}")
    return number


def _read_time_limit(value: object) -> TimeLimit:
    # a number in plain digits: 1e-05 is none to the parser
    return TimeLimit.parse(f"{value:.9f}" if isinstance(value, float) else str(value))


def _read_size(value: object) -> int:
    return parse_size(f"{value:.0f}" if isinstance(value, float) else str(value))


def _read_on_error(value: object) -> OnError:
    if value == "stop":
        return "stop"
    if value == "continue":
        return "continue"
    raise UsageError(f"{_shown(value)} is neither 'stop' nor 'continue'")


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{_shown(value)} is neither true nor false")
    return value


def _read_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError("must be a list of module names")
    return tuple(value)


def _read_permissions(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise UsageError(f"must be a list of some of {', '.join(KINDS)}")
    return tuple(map(parse_kind, value))


def _read_requires(value: object) -> EngineName | None:
    """``{ midas = "0.2", lua = "5.4" }``, both of them optional: the engine.

    Raises:
        UsageError: this Midas is older than that, or the table says anything else.
    """
    if isinstance(value, list) and not value:
        return None
    if not isinstance(value, Mapping):
        raise UsageError("must be a table, such as { midas = '0.2', lua = '5.4' }")
    for key in value:
        if key not in ("midas", "lua"):
            raise UsageError(f"{_shown(key)} is unknown; known are: lua, midas")
    wanted = value.get("midas", "0.0")
    if _release(wanted, _RELEASE.fullmatch) > _release(__version__, _RELEASE.match):
        raise UsageError(
            f"the script needs Midas {wanted} or later, this is {__version__}: upgrade midas_mp"
        )
    return parse_engine(_read_word(value["lua"])) if "lua" in value else None


def _release(value: object, matched: Callable[[str], re.Match[str] | None]) -> tuple[int, int, int]:
    match = matched(value) if isinstance(value, str) else None
    if match is None:
        raise UsageError(f"midas = {_shown(value)} is no release; write it like '0.2' or '0.2.1'")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _read_word(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"lua = {_shown(value)} is no text; write it like '5.4'")
    return value


def _shown(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return text[: _SHOWN_CHARACTERS_MAX - 1] + "…"


_CONFIG_READERS: Final[Mapping[str, tuple[str, Any]]] = {
    "tasks": ("tasks", _read_tasks),
    "timeout_s": ("timeout", _read_time_limit),
    "memory": ("memory_bytes", _read_size),
    "on_error": ("on_error", _read_on_error),
    "retries": ("retries", _read_retries),
    "isolate": ("isolate", _read_flag),
    "modules": ("modules", _read_names),
    "requires": ("engine", _read_requires),
    "permissions": ("permissions", _read_permissions),
}
