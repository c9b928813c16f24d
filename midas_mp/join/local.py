"""What processes of one user on one machine know each other by: a secret in the user's folder."""

from __future__ import annotations

import os
import pwd
import secrets
from typing import Final

from midas_mp.errors import PeerRefused, UsageError
from midas_mp.join import state
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import Role

SECRET_FILE: Final = "secret"  # noqa: S105 - its name, not what is in it
SECRET_BYTES: Final = 32


def local_key() -> Key:
    """The secret of this user, made when it is first asked for.

    Raises:
        UsageError: there is no place to keep it.
    """
    secret = state.read_or_make(SECRET_FILE, lambda: secrets.token_bytes(SECRET_BYTES))
    if len(secret) != SECRET_BYTES:
        raise UsageError(f"{state.folder() / SECRET_FILE} is damaged: remove it")
    return Key.of(secret)


class LocalKeyring:
    """Lets in whoever knows the secret of this user, in any role.

    Args:
        for_others: what others are told to do.
    """

    def __init__(self, for_others: str) -> None:
        self._for_others = for_others

    def look_up(self, key: str, _role: Role) -> Key:
        try:
            ours = local_key()
        except UsageError as error:
            raise PeerRefused(f"the host has a fault: {error}", refusal="host") from None
        if key != ours.id:
            raise PeerRefused(
                f"this host is {_user()}'s, and lets in here only processes of that user, with the "
                f"same {state.folder()}; {self._for_others}",
                refusal="user",
            )
        return ours


def _user() -> str:
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"user {os.geteuid()}"
