"""Peers that came in by a token: as soon as it is not good any more they have to go.

They are told that the host leaves them, come back as ever, and hear at the door why not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final

from midas_mp import limits
from midas_mp.errors import PeerRefused
from midas_mp.transport.link import Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.joining import Keyring
from midas_mp.wire.messages import Goodbye, Role

_NAMES_MAX: Final = 4
"""Told in one line."""


class Guests:
    """Of one host, whether it still lets others in or not.

    Args:
        call_later: how to be woken.
        tell: told, a line at a time, who had to go and why.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        tell: Callable[[str], None],
    ) -> None:
        self._call_later = call_later
        self._tell = tell
        self._links: weakref.WeakKeyDictionary[Link, tuple[Keyring, str, Role]] = (
            weakref.WeakKeyDictionary()
        )
        self._is_looking = False

    def add(self, link: Link, keyring: Keyring, key: str, role: Role) -> None:
        """One more, who came by this key."""
        self._links[link] = (keyring, key, role)
        if not self._is_looking:
            self._is_looking = True
            self._call_later(limits.REVIEW_INTERVAL_S, self._review)

    def _review(self) -> None:
        self._is_looking = False
        verdicts: dict[tuple[str, Role], str] = {}
        gone: dict[str, list[Link]] = {}
        for link, (keyring, key, role) in list(self._links.items()):
            if link.is_closed:
                del self._links[link]
                continue
            if (key, role) not in verdicts:
                verdicts[key, role] = _objection(keyring, key, role)
            if verdicts[key, role]:
                del self._links[link]
                gone.setdefault(verdicts[key, role], []).append(link)
        for reason, links in gone.items():
            self._tell(f"{_named(links)} had to go: {reason}")
            for link in links:
                _part(link, reason)
        if self._links:
            self._is_looking = True
            self._call_later(limits.REVIEW_INTERVAL_S, self._review)


def _objection(keyring: Keyring, key: str, role: Role) -> str:
    try:
        keyring.look_up(key, role)
    except PeerRefused as error:
        return error.reason
    return ""


def _named(links: list[Link]) -> str:
    names = [link.peer for link in links]
    others = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {others} more" if others > 0 else "")


def _part(link: Link, reason: str) -> None:
    may_speak = link.conversation.may_speak
    link.close(Frame(CONTROL_CHANNEL, Goodbye(reason)) if may_speak else None)
