"""A whole cluster in this process: host and launcher joined by memory, workers as processes.

One hop from scheduler to worker, no port opened.  ``midas run`` and the executor on one machine
are made of this.
"""

from __future__ import annotations

import asyncio
import uuid

from midas_mp.client.client import Client
from midas_mp.host.host import Host
from midas_mp.participant.launcher import Launcher
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.transport import memory
from midas_mp.transport.link import Dial, Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.messages import Role


class InProcessCluster:
    """Host and one node of workers.

    Attributes:
        host: what clients are to reach.
        failed: done when this node can have no workers (any more); holds the exception.
    """

    def __init__(self, supervisor: Supervisor, settings: NodeSettings) -> None:
        self.host = Host(announce=_say_nothing)
        self._launcher = Launcher(
            supervisor,
            settings,
            node_id=uuid.uuid4().hex,
            announce=_say_nothing,
            dial=dial_within(self.host),
        )
        to_host, _ = memory.pair(
            self._launcher,
            Conversation(Role.LAUNCHER, Role.HOST),
            self.host,
            self.host.conversation(),
        )
        self._launcher.greet(to_host)

    @property
    def failed(self) -> asyncio.Future[None]:
        return self._launcher.failed

    async def connect(self) -> Client:
        """A client of this cluster; it has no other host to look for."""
        client = Client(dial_within(self.host), patience_s=0)
        await client.connect()
        return client

    async def close(self) -> None:
        """The supervisor's close then ends the processes."""
        self._launcher.leave("closing")
        await self.host.close("closing")


def dial_within(host: Host) -> Dial:
    """How to reach a host of this process."""

    async def dial(receiver: Receiver, conversation: Conversation) -> Link:
        to_host, _ = memory.pair(receiver, conversation, host, host.conversation())
        return to_host

    return dial


def _say_nothing(_text: str) -> None:
    """What a host or launcher of this process would announce, its client is told as well."""
