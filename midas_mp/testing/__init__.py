"""Whole clusters in one thread, in virtual time, from one seed: the simulator and its parts.

``simulator`` runs seeds (``python -m midas_mp.testing.simulator``), ``scenario`` draws what a seed
means, ``world`` plays it and says what must hold.  ``actors`` has the real host, launchers and
clients inside; what lies around them is simulated: the clock (``virtual_time``), the network
(``network`` and ``connection``), the Lua processes (``processes``, doing what their ``orders``
say), the user (``script``), everything that goes wrong (``faults``) and limits narrow enough to be
met (``tightness``).  ``witness`` listens on every connection, ``trace`` tells and counts.

Also of use by themselves: ``VirtualTimeLoop``, an asyncio loop on which nobody ever waits.
"""

from midas_mp.testing.virtual_time import Deadlock, Livelock, VirtualTimeLoop

__all__ = ["Deadlock", "Livelock", "VirtualTimeLoop"]
