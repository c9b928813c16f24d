"""The folder of a user where Midas keeps secrets: readable for nobody else.

    $XDG_STATE_HOME/midas, else ~/.local/state/midas, else midas-UID where temporary files go

A file appears there whole or not at all, whoever else makes it at the same moment; one that others
could have read or written is refused.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from midas_mp.errors import UsageError

FOLDER: Final = "midas"

FILE_BYTES_MAX: Final = 2**20
"""None is nearly as large."""

_kept_elsewhere: Final[set[Path]] = set()
"""Files with secrets that this process was shown."""


def folder() -> Path:
    """Made if it is not there.

    Raises:
        UsageError: it cannot be made, or is another user's.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    if Path(named).is_absolute():
        return _made(Path(named, FOLDER))
    try:
        path = Path("~/.local/state").expanduser() / FOLDER
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        # a user without a home, as in many containers, has a folder nevertheless
        path = _without_home()
    return _made(path)


def keep_from_scripts(path: Path) -> None:
    """A file with a secret that is not in the folder, such as one that somebody keeps a token in:
    scripts that are started from now on cannot read it.
    """
    _kept_elsewhere.add(path.resolve())


def private() -> tuple[str, ...]:
    """Where there are secrets of this user, perhaps from another time; no folder is made."""
    candidates = [Path(os.environ.get("XDG_STATE_HOME", ""), FOLDER), _without_home()]
    with contextlib.suppress(RuntimeError):
        candidates.append(Path("~/.local/state").expanduser() / FOLDER)
    folders = [path for path in candidates if path.is_absolute() and path.is_dir()]
    return tuple(map(str, [*folders, *sorted(_kept_elsewhere)]))


def _without_home() -> Path:
    return Path(tempfile.gettempdir(), f"{FOLDER}-{os.geteuid()}")


def read_or_make(name: str, make: Callable[[], bytes]) -> bytes:
    """What is in a file of the folder; of several processes that find none, one makes it.

    Raises:
        UsageError: it cannot be read or made, or others could have.
    """
    path = folder() / name
    found = read(path)
    if found is None:
        with told(path):
            _create(path, make())
        found = read(path)
    if found is None:
        raise UsageError(f"{path} has been removed as soon as it was there")
    return found


def read(path: Path) -> bytes | None:
    """What is in a file; None if there is none.

    Raises:
        UsageError: it cannot be read, or others could have.
    """
    with told(path):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(file, "rb") as opened:
            _check_private(path, os.fstat(file))
            return opened.read(FILE_BYTES_MAX)


def replace(path: Path, data: bytes) -> None:
    """Puts a file in the place of one that may be there.

    Raises:
        UsageError: that is not possible.
    """
    with told(path), _written(path, data) as draft:
        draft.replace(path)


def _create(path: Path, data: bytes) -> None:
    """Makes the file unless another process has."""
    with _written(path, data) as draft, contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)


@contextlib.contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(file)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _made(path: Path) -> Path:
    with told(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(path, path.lstat())
    return path


def _check_private(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user (uid {status.st_uid})")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError(f"{path} is open to other users: chmod go= {path}")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Says what went wrong with a file of the folder."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot keep secrets in {path}: {error.strerror}; set XDG_STATE_HOME to a folder that "
            "you can write to"
        ) from None
