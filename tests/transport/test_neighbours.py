"""Links that find out whether their ends are on one node."""

from __future__ import annotations

import os

import pytest

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.blobs.door import Door, Visitor
from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.neighbours import Neighbourhood, without_link_words
from midas_mp.transport.pulse import HEARTBEAT
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Call,
    Goodbye,
    Hello,
    Invite,
    Outcome,
    Role,
    RunTasks,
    Status,
    TaskResults,
    Welcome,
)

WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0.1", "node-2", 0))
GOODBYE = Frame(0, Goodbye("x"))
INVITE = Invite("midas-here", "ab")
BLOB = limits.BLOB_BYTES_MIN


def hello(role: Role) -> Frame:
    return Frame(0, Hello(PROTOCOL_VERSION, role, "0.1", "ab12", "node"))


class Meeting:
    """Neighbours that only remember."""

    def __init__(self) -> None:
        self.owners = []
        self.visits = []

    def invite(self, owner):
        self.owners.append(owner)
        return INVITE

    def visit(self, invite, _owner):
        self.visits.append(invite)


class Link:
    """With a conversation that somebody else keeps going."""

    def __init__(self, conversation) -> None:
        self.conversation = conversation
        self.sent = []
        self.is_closed = False

    def send(self, frames) -> None:
        self.sent += frames

    def share(self, _port) -> None:
        """Not asked for."""

    def port_failed(self, _error) -> None:
        """Nor that."""


class Transport:
    """Only its addresses."""

    def __init__(self, here, there) -> None:
        self._names = {"sockname": here, "peername": there}

    def get_extra_info(self, name):
        return self._names[name]


class Port:
    def __init__(self) -> None:
        self.parted = 0

    def part(self) -> None:
        self.parted += 1


HERE = Transport(("127.0.0.1", 1), ("127.0.0.1", 2))


def host_link(role=Role.LAUNCHER, *, is_welcome=True):
    conversation = Conversation(Role.HOST, None)
    conversation.receive(hello(role))
    if is_welcome:
        conversation.sending(WELCOME)
    return Link(conversation)


@pytest.mark.parametrize("role", [Role.LAUNCHER, Role.CLIENT])
def test_who_is_welcome_is_invited_once(role):
    link, meeting = host_link(role, is_welcome=False), Meeting()
    neighbourhood = Neighbourhood(link, meeting)
    neighbourhood.invite(HERE)
    assert neighbourhood.is_inviting
    link.conversation.sending(WELCOME)
    neighbourhood.invite(HERE)
    assert link.sent == [Frame(0, INVITE)]
    assert meeting.owners == [link]
    assert not neighbourhood.is_inviting


@pytest.mark.parametrize(
    ("here", "there", "is_near"),
    [
        (("127.0.0.1", 1), ("127.0.0.2", 2), True),
        (("10.0.0.7", 1), ("10.0.0.7", 2), True),
        (("10.0.0.7", 1), ("10.0.0.8", 2), False),
        (("::1", 1, 0, 0), ("::1", 2, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), ("::ffff:127.0.0.2", 2, 0, 0), True),
        (("fe80::1%eth0", 1, 0, 2), ("fe80::2%eth0", 2, 0, 2), False),
        ("", "", False),
        (None, None, False),
    ],
)
def test_only_who_calls_from_this_node_is_invited(here, there, is_near):
    link = host_link()
    Neighbourhood(link, Meeting()).invite(Transport(here, there))
    assert bool(link.sent) is is_near


def test_a_bulk_connection_is_not_invited():
    link = host_link(Role.BULK)
    Neighbourhood(link, Meeting()).invite(HERE)
    assert link.sent == []


def test_nobody_is_invited_where_nothing_can_be_shared():
    link, meeting = host_link(), Meeting()
    meeting.invite = lambda _: None
    Neighbourhood(link, meeting).invite(HERE)
    assert link.sent == []
    assert not Neighbourhood(link, None).is_inviting
    assert not Neighbourhood(Link(Conversation(Role.CLIENT, Role.HOST)), meeting).is_inviting


def test_an_invitation_is_followed_once():
    meeting = Meeting()
    neighbourhood = Neighbourhood(Link(Conversation(Role.CLIENT, Role.HOST)), meeting)
    neighbourhood.take([GOODBYE, HEARTBEAT])
    neighbourhood.take([Frame(0, INVITE), Frame(0, INVITE)])
    neighbourhood.take([Frame(0, INVITE)])
    assert meeting.visits == [INVITE]
    Neighbourhood(Link(Conversation(Role.CLIENT, Role.HOST)), None).take([Frame(0, INVITE)])


def test_a_port_parts_with_its_link():
    link = host_link()
    neighbourhood = Neighbourhood(link, None)
    early, late = Port(), Port()
    neighbourhood.share(early)
    assert early.parted == 0
    neighbourhood.part()
    neighbourhood.part()
    link.is_closed = True
    neighbourhood.share(late)
    assert (early.parted, late.parted) == (1, 1)


def test_owners_hear_nothing_of_it():
    frames = [HEARTBEAT, GOODBYE, Frame(0, INVITE), HEARTBEAT]
    assert without_link_words(frames) == [GOODBYE]


class Ends:
    """A host and a launcher over TCP, who share what they can."""

    def __init__(self, recorder) -> None:
        self.door = Door()
        self.host, self.launcher = recorder(), recorder()
        self.links = []
        self.host.react = lambda link, _: self.links.append(link)

    async def meet(self, eventually):
        self.listener = await tcp.listen(
            Address("127.0.0.1", 0),
            lambda: (self.host, Conversation(Role.HOST, None)),
            neighbours=self.door,
        )
        talk = Conversation(Role.LAUNCHER, Role.HOST)
        self.a = await tcp.connect(self.listener.address, self.launcher, talk, neighbours=Visitor())
        self.a.send([hello(Role.LAUNCHER)])
        await self.host.received(1)
        self.b = self.links[0]
        self.b.send([WELCOME])
        await self.launcher.received(1)
        await eventually(lambda: self.b._blobs is not None)
        await eventually(lambda: self.a._blobs.refer(bytes(BLOB)) is not None)

    async def part(self):
        self.listener.close()
        self.a.abort()
        self.b.abort()
        await self.launcher.lost()
        await self.host.lost()
        self.door.close()


def orders(payload):
    return Frame(1, RunTasks("j", 0, 0, "0" * 64, "f", [Call(0)]), [payload])


def results(payload):
    return Frame(1, TaskResults("j", 0, "w", [Outcome(0, 0, Status.OK, 1)]), [payload])


def test_large_buffers_stay_where_they_are(run, recorder, eventually):
    async def main():
        ends = Ends(recorder)
        await ends.meet(eventually)
        there, back = os.urandom(BLOB), os.urandom(BLOB)
        sent = ends.a.unsent_bytes
        ends.b.send([orders(there)])
        ends.a.send([results(back)])
        assert ends.a.unsent_bytes - sent < BLOB
        (order,) = (await ends.launcher.received(2))[1:]
        (result,) = (await ends.host.received(2))[1:]
        assert (bytes(order.buffers[0]), bytes(result.buffers[0])) == (there, back)
        assert isinstance(order.buffers[0], memoryview)
        assert isinstance(result.buffers[0], memoryview)
        await ends.part()
        assert (bytes(order.buffers[0]), bytes(result.buffers[0])) == (there, back)

    run(main())


def test_a_peer_that_breaks_the_rules_beside_the_link_loses_it(run, recorder, eventually):
    async def main():
        ends = Ends(recorder)
        await ends.meet(eventually)
        ends.a._blobs._blobs._ends.channel.send(b"\xc1")
        error = await ends.host.lost()
        assert isinstance(error, ProtocolError)
        assert "not a release" in str(error)
        await ends.part()

    run(main())


def test_a_reference_to_nothing_ends_the_link(run, recorder, eventually):
    async def main():
        ends = Ends(recorder)
        await ends.meet(eventually)
        ends.a._blobs.refer = lambda _: BlobRef(77, 0, BLOB)
        ends.a.send([results(bytes(BLOB))])
        assert "whose file never came" in str(await ends.host.lost())
        await ends.part()

    run(main())


def test_without_an_invitation_buffers_are_sent(run, recorder):
    async def main():
        host, launcher = recorder(), recorder()
        listener = await tcp.listen(
            Address("127.0.0.1", 0), lambda: (host, Conversation(Role.HOST, None))
        )
        talk = Conversation(Role.LAUNCHER, Role.HOST)
        link = await tcp.connect(listener.address, launcher, talk, neighbours=Visitor())
        host.react = lambda other, frames: (
            other.send([WELCOME]) if isinstance(frames[0].message, Hello) else None
        )
        link.send([hello(Role.LAUNCHER)])
        await launcher.received(1)
        shared = pool.share(os.urandom(BLOB))
        link.send([results(shared)])
        (_, result) = await host.received(2)
        assert bytes(result.buffers[0]) == bytes(shared)
        assert not isinstance(result.buffers[0], memoryview)
        listener.close()
        link.abort()
        assert not isinstance(await launcher.lost(), ConnectionLost)
        await host.lost()

    run(main())
