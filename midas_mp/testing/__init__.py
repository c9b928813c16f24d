"""Whole clusters in one thread, in virtual time, from one seed: the simulator and its parts.

``simulator`` runs seeds (``python -m midas_mp.testing.simulator``), ``scenario`` draws what a seed
means, ``world`` plays it and says what must hold.  ``actors`` has the real host, launchers and
clients inside; what lies around them is simulated: the clock (``virtual_time``), the network
(``network`` and ``connection``), the Lua processes (``processes``, doing what their ``orders``
say), the user (``script``), everything that goes wrong (``faults``) and limits narrow enough to be
met (``tightness``).  ``witness`` listens on every connection, ``trace`` tells and counts.

``chaos`` does harm to real processes instead, by what ``LocalCluster(faults=Faults(...))`` is made
of: ``injection`` kills, freezes and cuts on a seed, ``proxy`` is a bad network, ``spoiling`` what
that does to bytes.  ``journal_faults`` and ``journal_kills`` are about journals.

Also of use by themselves: ``VirtualTimeLoop``, an asyncio loop on which nobody ever waits, and
``Proxy``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from midas_mp.testing.injection import Blow, Faults
    from midas_mp.testing.proxy import BadLine, Proxy, Way
    from midas_mp.testing.spoiling import Spoil
    from midas_mp.testing.virtual_time import Deadlock, Livelock, VirtualTimeLoop

__all__ = [
    "BadLine",
    "Blow",
    "Deadlock",
    "Faults",
    "Livelock",
    "Proxy",
    "Spoil",
    "VirtualTimeLoop",
    "Way",
]

_HOMES: Final = {
    "BadLine": "proxy",
    "Blow": "injection",
    "Deadlock": "virtual_time",
    "Faults": "injection",
    "Livelock": "virtual_time",
    "Proxy": "proxy",
    "Spoil": "spoiling",
    "VirtualTimeLoop": "virtual_time",
    "Way": "proxy",
}
"""Where they live; fetched when they are asked for, since some of these modules are programs, which
Python runs only with a warning when they are there already."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
