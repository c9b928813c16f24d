"""The simulated network: who reaches whom, how fast, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from midas_mp.errors import HostUnreachable
from midas_mp.limits import GREETING_TIMEOUT_S
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Lane, SimulatedLink, Site, join
from midas_mp.testing.trace import Trace
from midas_mp.transport.link import Dial, Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame

GLITCHED_S_MAX: Final = 1.0
"""A connection that lost or mixed up frames is cut within so long: TCP would never do it, and what
does it does not stop."""

SILENT_S_MAX: Final = 35.0
"""After so long at the latest keep-alive tells that a machine is gone."""

PARTITION_SURVIVED_S: Final = 10.0
"""TCP repeats what got lost: a connection outlives a shorter interruption."""


class Weather(NamedTuple):
    """What a network is like."""

    latency_s: float = 0.0005
    spike_chance: float = 0.0
    """How often something takes much longer."""
    spike_s: float = 0.2
    split_chance: float = 0.1
    """How often what was written at once arrives in two pieces."""
    glitch_chance: float = 0.0
    """Of a connection: that it loses, repeats or mixes up a frame, some day."""
    bytes_per_s: float = 1e9
    byte_weight: int = 1
    """How many bytes one stands for where a sender looks at what is unsent."""


class _Address(NamedTuple):
    site: Site
    accept: Callable[[], tuple[Receiver, Conversation]]


def _see_nothing(_link: SimulatedLink, _frames: list[Frame]) -> None:
    """For a network that nobody watches."""


class Network:
    """Sites and their connections; a ``Medium``."""

    def __init__(
        self,
        weather: Weather,
        rng: Chance,
        trace: Trace,
        witness: Callable[[SimulatedLink, list[Frame]], None] = _see_nothing,
    ) -> None:
        self.trace = trace
        self.witness = witness
        self.refuses_until = 0.0
        """Before that time nobody gets a new connection."""
        self._weather = weather
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._address: _Address | None = None
        self._away: Collection[str] = ()
        """Names of the sites on the other side of the partition."""
        self._away_until = 0.0
        self._deaf: bool | None = None
        """Who does not hear the others: those away, or those who stayed; None: neither side."""
        self._glitches: dict[Lane, int] = {}
        """Lanes that will fail, and at which of their frames."""

    # -- connecting ------------------------------------------------------------------------------

    def listen(self, site: Site, accept: Callable[[], tuple[Receiver, Conversation]]) -> None:
        """From now on that site is the one that everybody dials."""
        self._address = _Address(site, accept)

    def dial_from(self, site: Site) -> Dial:
        """The way from a site to whoever listens."""

        async def dial(receiver: Receiver, conversation: Conversation) -> Link:
            await asyncio.sleep(self.latency_s())
            address = self._address
            if address is None or address.site.is_dead or self._loop.time() < self.refuses_until:
                raise HostUnreachable("no host listens there")
            held_until = max(
                self.held_until(site, address.site), self.held_until(address.site, site)
            )
            if held_until > self._loop.time() + GREETING_TIMEOUT_S:
                await asyncio.sleep(GREETING_TIMEOUT_S)
                raise HostUnreachable("no answer")
            return self._connect(site, receiver, conversation, address)

        return dial

    def _connect(
        self, site: Site, receiver: Receiver, conversation: Conversation, address: _Address
    ) -> SimulatedLink:
        own = SimulatedLink(self, site, address.site.name, receiver, conversation)
        other = SimulatedLink(self, address.site, site.name, *address.accept())
        join(self, own, other)
        self.trace.count("connections")
        self.trace.note(site.name, "connected")
        for lane in (own.out, other.out):
            if self._rng.happens(self._weather.glitch_chance / 2):
                self._glitches[lane] = int(self._rng.expovariate(1 / 20))
        return own

    # -- going wrong -----------------------------------------------------------------------------

    def links(self) -> list[SimulatedLink]:
        """The listening site's ends of all connections."""
        return list(self._address.site.links) if self._address is not None else []

    def cut(self, link: SimulatedLink, notice_s: float, other_notice_s: float) -> None:
        """What is under way is lost; each side notices when it does."""
        other = link.out.target
        self.trace.count("cuts")
        self.trace.note("network", "cut", other.site.name)
        for end, delay_s in ((link, notice_s), (other, other_notice_s)):
            end.out.sever()
            end.site.soon(delay_s, lambda end=end: end.breaks("cut"))  # type: ignore[misc]

    def bury(self, site: Site, *, is_silent: bool) -> None:
        """A site is gone, with everything in it; the others notice at once, or in their time."""
        site.is_dead = True
        for link in list(site.links):
            other = link.out.target
            link.vanish()
            link.out.sever()
            other.out.sever()
            delay_s = self._rng.uniform(1, SILENT_S_MAX) if is_silent else self.latency_s()
            other.site.soon(delay_s, lambda other=other: other.breaks("gone"))  # type: ignore[misc]

    def part(
        self,
        away: Collection[str],
        seconds: float,
        *,
        deaf: bool | None = None,
        is_told: bool = True,
    ) -> None:
        """Sites of these names and the others do not hear each other for so long.

        Args:
            away: the names.
            seconds: until all that was said arrives after all.
            deaf: only those away (True), or only the others (False), do not hear; None: both.
            is_told: TCP gives up; else that is left to those who hear nothing.
        """
        self._away, self._deaf = away, deaf
        self._away_until = self._loop.time() + seconds
        self.trace.count("partitions")
        self.trace.note("network", "parts", sorted(away), f"{seconds:.3f}")
        if seconds <= PARTITION_SURVIVED_S or not is_told:
            return
        for link in self.links():
            other = link.out.target
            if self.held_until(link.site, other.site) or self.held_until(other.site, link.site):
                self.cut(link, self._rng.uniform(5, seconds), self._rng.uniform(5, seconds))

    def heal(self) -> None:
        """No more partition, refusal or glitch."""
        self._away_until = self.refuses_until = 0.0
        self._glitches.clear()
        self._weather = self._weather._replace(glitch_chance=0.0, spike_chance=0.0)

    # -- as a Medium -----------------------------------------------------------------------------

    def latency_s(self) -> float:
        weather = self._weather
        if weather.spike_chance and self._rng.happens(weather.spike_chance):
            return self._rng.expovariate(1 / weather.spike_s)
        return weather.latency_s * (0.5 + self._rng.random())

    def writing_s(self, size_bytes: int) -> float:
        return size_bytes / self._weather.bytes_per_s

    def held_until(self, source: Site, target: Site) -> float:
        is_away = target.name in self._away
        if (source.name in self._away) == is_away or self._deaf is (not is_away):
            return 0.0
        return self._away_until

    def splits(self) -> bool:
        return self._rng.happens(self._weather.split_chance)

    def unsent_bytes(self, under_way_bytes: int) -> int:
        return under_way_bytes * self._weather.byte_weight

    def mangle(self, lane: Lane, packets: list[bytes]) -> list[bytes]:
        """Loses, repeats or mixes up frames where a lane is to fail now."""
        if lane not in self._glitches or lane.frame_count <= self._glitches[lane]:
            return packets
        del self._glitches[lane]
        lane.source.site.is_glitched = lane.target.site.is_glitched = True
        position = self._rng.randrange(len(packets))
        how = self._rng.choice(["lost", "repeated", "mixed up"])
        self.trace.count("glitches")
        self.trace.note(lane.target.site.name, "a frame is", how)
        notice_s, other_notice_s = (self._rng.uniform(0, GLITCHED_S_MAX) for _ in range(2))
        self._loop.call_later(
            self._rng.uniform(0, GLITCHED_S_MAX), self.cut, lane.source, notice_s, other_notice_s
        )
        if how == "lost":
            return packets[:position] + packets[position + 1 :]
        if how == "repeated":
            return packets[: position + 1] + packets[position:]
        return packets[position:] + packets[:position]
