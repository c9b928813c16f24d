"""The tokens that a host has given out, in a file of its user's folder.

A running host looks into it whenever somebody joins, so what ``midas token`` does counts at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from midas_mp.errors import PeerRefused, UsageError
from midas_mp.join import state
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import Role

LEDGER_FILE: Final = "tokens.json"
LOCK_FILE: Final = "tokens.lock"
SECRET_BYTES: Final = 32

REVOKED_MAX: Final = 1_000
"""Remembered, so that who brings one is told what has become of it."""

Kind = Literal["participants", "clients", "operators"]

_ROLES: Final[dict[Kind, frozenset[Role]]] = {
    "participants": frozenset({Role.LAUNCHER, Role.BULK}),
    "clients": frozenset({Role.CLIENT, Role.BULK}),
    "operators": frozenset({Role.CLIENT, Role.BULK}),
}
_FITTING: Final[dict[Role, Kind]] = {Role.LAUNCHER: "participants", Role.CLIENT: "clients"}
"""What a peer should have brought that brought a token of another kind."""


class TokenRecord(Struct, frozen=True, kw_only=True):
    """One token."""

    id: str
    kind: Kind
    secret: bytes
    """Empty once it is revoked."""
    label: str = ""
    made_s: float
    """Seconds since 1970, like the others."""
    expires_s: float | None = None
    revoked_s: float | None = None

    def fault(self, now_s: float) -> str:
        """Why it lets nobody in; empty if it does."""
        if self.revoked_s is not None:
            return f"was revoked on {date(self.revoked_s)}"
        if self.expires_s is not None and now_s >= self.expires_s:
            return f"expired on {date(self.expires_s)}"
        return ""


class Ledger:
    """All tokens of a user's hosts; also the ``Keyring`` of those.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def records(self) -> list[TokenRecord]:
        """All that is known, the oldest first.

        Raises:
            UsageError: the file is damaged, or others could have read it.
        """
        path = self._path()
        data = state.read(path)
        if data is None:
            return []
        try:
            return msgspec.json.decode(data, type=list[TokenRecord])
        except msgspec.DecodeError as error:
            raise UsageError(f"{path} is damaged ({error}): restore or remove it") from None

    def make(self, kind: Kind, *, label: str = "", lasts_s: float | None = None) -> TokenRecord:
        """A new token, good until it expires or is revoked."""
        with self._locked():
            return self._add(kind, label, lasts_s)

    def standing(self, kind: Kind, *, label: str) -> TokenRecord:
        """The one with this label that is still good, made if there is none: one for all hosts that
        ask, also at once.
        """
        with self._locked():
            now_s = self._clock()
            for record in self.records():
                if (record.kind, record.label) == (kind, label) and not record.fault(now_s):
                    return record
            return self._add(kind, label, None)

    def revoke(self, beginning: str) -> TokenRecord:
        """Ends a token by its id, or as much of it as is clear.

        Raises:
            UsageError: there is none, or several.
        """
        with self._locked():
            records = self.records()
            found = [record for record in records if record.id.startswith(beginning)]
            if len(found) != 1 or not beginning:
                what = "several tokens begin with" if found else "no token has the id"
                raise UsageError(f"{what} {beginning!r}; 'midas token list' shows all")
            now_s = self._clock()
            revoked = msgspec.structs.replace(found[0], secret=b"", revoked_s=now_s)
            records = [revoked if record.id == revoked.id else record for record in records]
            gone = [record for record in records if record.revoked_s is not None]
            gone.sort(key=lambda record: record.revoked_s or 0.0)
            forgotten = {record.id for record in gone[:-REVOKED_MAX]}
            self._write([record for record in records if record.id not in forgotten])
        return revoked

    def look_up(self, key: str, role: Role) -> Key:
        try:
            records = self.records()
        except UsageError as error:
            raise PeerRefused(f"the host has a fault: {error}", refusal="host") from None
        for record in records:
            if record.id == key:
                return self._checked(record, role)
        raise PeerRefused(
            f"this host knows no token {key}: it is another host's; 'midas token new' on the "
            "host's machine makes one",
            refusal="token",
        )

    def _checked(self, record: TokenRecord, role: Role) -> Key:
        fault = record.fault(self._clock())
        if fault:
            text = (
                f"the token {record.id} {fault}; 'midas token new' on the host's machine makes one"
            )
            raise PeerRefused(text, refusal="token")
        if role not in _ROLES[record.kind]:
            kind = _FITTING[role]
            raise PeerRefused(
                f"the token {record.id} is for {record.kind}: 'midas token new --for {kind}' on "
                f"the host's machine makes one for {kind}",
                refusal="role",
            )
        return Key(record.id, record.secret, may_manage=record.kind == "operators")

    def _add(self, kind: Kind, label: str, lasts_s: float | None) -> TokenRecord:
        """Under the lock."""
        now_s = self._clock()
        key = Key.of(secrets.token_bytes(SECRET_BYTES))
        record = TokenRecord(
            id=key.id,
            kind=kind,
            secret=key.secret,
            label=label,
            made_s=now_s,
            expires_s=None if lasts_s is None else now_s + lasts_s,
        )
        self._write([*self.records(), record])
        return record

    @staticmethod
    def _path() -> Path:
        return state.folder() / LEDGER_FILE

    def _write(self, records: list[TokenRecord]) -> None:
        data = msgspec.json.encode(records)
        if len(data) > state.FILE_BYTES_MAX:
            raise UsageError("there are too many tokens: revoke those that are not in use")
        state.replace(self._path(), data)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = state.folder() / LOCK_FILE
        with state.told(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def date(seconds: float) -> str:
    """For people, in the time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
