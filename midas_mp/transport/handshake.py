"""The host's side of a TLS handshake: where it fails, the peer hears why.

Event loops hang up at once when a handshake fails, with OpenSSL's last words unsent.  In TLS 1.3 a
peer whose certificate is missing or bad has then been through its own side of the handshake, and
sees what one sees at a host that has no room.  So here a failure is told first, and the loop goes
on as if more had to come: that sends the alert, and then it is the peer's turn to hang up.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

failed: Final[ContextVar[Callable[[ssl.SSLError], None]]] = ContextVar("failed")
"""In the task that accepts a connection: told why its handshake failed."""


class Handshake(ssl.SSLObject):
    """What a host's context makes of each connection, as its ``sslobject_class``."""

    _has_failed = False

    def do_handshake(self) -> None:
        if self._has_failed:
            raise ssl.SSLError("the peer goes on, though it was refused")
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            tell = failed.get(None)
            if tell is None:
                raise
            self._has_failed = True  # the error itself would hold this object, and that the error
            tell(error)
            raise ssl.SSLWantReadError from None
