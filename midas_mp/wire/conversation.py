"""One peer's conversation: who may say what, and when.

A ``Conversation`` sits at one end of a connection.  ``receive`` judges what the peer said (its
fault: ProtocolError), ``sending`` what we are about to say (our bug: IllegalTransition).  It
never opens a payload and never touches a socket.

Two tables say it all: ``TRANSITIONS`` how a conversation goes on, and in ``vocabulary`` which
messages belong to each pair of speaker and listener.  On the network it begins with Hello and
Welcome; a worker, at the end of a socketpair, only says that it is ready, and may be told things
before.  After a Goodbye its speaker is silent, but still hears what was on the way.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Any, Final, NamedTuple

from midas_mp import limits
from midas_mp.errors import IllegalTransition, ProtocolError
from midas_mp.wire.checks import Check, check_of
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.joining import VISITORS, role_text, version_text
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Goodbye,
    Hello,
    Message,
    Refused,
    Role,
    Welcome,
)
from midas_mp.wire.vocabulary import VOCABULARY, WORKER_CHANNEL

STORY_LENGTH: Final = 20
CHANNEL_MAX: Final = 65_535


class ConversationState(enum.Enum):
    """How far a conversation has come, seen from this end."""

    NEW = "new"
    """On the network: nobody has spoken."""
    GREETED = "greeted"
    """Hello was said, the host's answer is due."""
    STARTING = "starting"
    """A worker's socketpair: it has not said that it is ready."""
    OPEN = "open"
    LEAVING = "leaving"
    """We said Goodbye; the peer may not know yet."""
    LEFT = "left"
    """The peer said Goodbye; our last words may still reach it."""
    CLOSED = "closed"


class Trigger(enum.Enum):
    """What moves a conversation."""

    HELLO = "Hello"
    WELCOME = "Welcome"
    REFUSED = "Refused"
    READY = "WorkerReady"
    HEARD = "word heard"
    SAID = "word said"
    GOODBYE_HEARD = "Goodbye heard"
    GOODBYE_SAID = "Goodbye said"


_S, _T = ConversationState, Trigger

TRANSITIONS: Final[dict[tuple[ConversationState, Trigger], ConversationState]] = {
    (_S.NEW, _T.HELLO): _S.GREETED,
    (_S.GREETED, _T.WELCOME): _S.OPEN,
    (_S.GREETED, _T.REFUSED): _S.CLOSED,
    (_S.STARTING, _T.READY): _S.OPEN,
    (_S.STARTING, _T.SAID): _S.STARTING,
    (_S.STARTING, _T.HEARD): _S.STARTING,
    (_S.OPEN, _T.HEARD): _S.OPEN,
    (_S.OPEN, _T.SAID): _S.OPEN,
    (_S.OPEN, _T.GOODBYE_HEARD): _S.LEFT,
    (_S.OPEN, _T.GOODBYE_SAID): _S.LEAVING,
    (_S.LEAVING, _T.HEARD): _S.LEAVING,
    (_S.LEAVING, _T.GOODBYE_HEARD): _S.CLOSED,
    (_S.LEFT, _T.SAID): _S.LEFT,
    (_S.LEFT, _T.GOODBYE_SAID): _S.CLOSED,
}
"""Where there is no entry, the trigger is a fault."""

_GREETED_STATES: Final = frozenset({_S.OPEN, _S.LEAVING, _S.LEFT})

_GREETING: Final[dict[type[Message], Trigger]] = {
    Hello: Trigger.HELLO,
    Welcome: Trigger.WELCOME,
    Refused: Trigger.REFUSED,
    WorkerReady: Trigger.READY,
}


class _Step(NamedTuple):
    """What one message does in one state: prepared once, so that a frame costs one look-up."""

    state: ConversationState
    story: str
    channel_min: int
    channel_max: int
    check: Check


_Steps = dict[type[Any], _Step]


class Conversation:
    """The state of one peer's conversation, at one end of it.

    Args:
        local: what this process is here.
        remote: what the peer is; None at a host, which learns it from Hello.
    """

    def __init__(self, local: Role, remote: Role | None) -> None:
        self.local = local
        self.remote = remote
        self.remote_name: str | None = None
        """The peer's name for people, once it greeted (a host calls itself nothing)."""
        self.proven_role: Role | None = None
        """What the peer has proved to be; None where nobody need prove anything."""
        self.token = ""
        """The name of the token by which it came in; empty where it needed none."""
        self.may_manage = True
        """Whether it may pause and kill what is not its own."""
        self._story: deque[str] = deque(maxlen=STORY_LENGTH)
        self._enter(_S.STARTING if Role.WORKER in (local, remote) else _S.NEW)

    @property
    def state(self) -> ConversationState:
        return self._state

    @property
    def is_open(self) -> bool:
        """Whether the greeting is over and somebody may still speak."""
        return self._state in _GREETED_STATES

    @property
    def may_speak(self) -> bool:
        """Whether we may say something: the greeting is over and our Goodbye is not said."""
        return self._state in (_S.OPEN, _S.LEFT)

    @property
    def is_greeting_due(self) -> bool:
        """Whether the peer still owes us its greeting, or its answer to ours."""
        if self.local is Role.HOST:
            return self._state is _S.NEW
        return self._state in (_S.NEW, _S.GREETED, _S.STARTING)

    @property
    def header_bytes_max(self) -> int:
        """What the peer's next header may measure."""
        return self._header_bytes_max

    @property
    def payload_bytes_max(self) -> int:
        """What the buffers of the peer's next frame may measure: nothing before it is known."""
        return self._payload_bytes_max

    @property
    def story(self) -> tuple[str, ...]:
        """The last things said and heard, oldest first."""
        return tuple(self._story)

    def receive(self, frame: Frame) -> None:
        """Take note of what the peer said.

        Raises:
            ProtocolError: it must not say this, not now, or not so.
        """
        message = frame.message
        step = self._hearing.get(type(message))
        if step is None:
            raise ProtocolError(self._describe(message, "which is not allowed here"))
        state, story, channel_min, channel_max, check = step
        if not channel_min <= frame.channel <= channel_max:
            raise ProtocolError(self._describe(message, f"on channel {frame.channel}"))
        complaint = check(frame)
        if complaint:
            raise ProtocolError(self._describe(message, f"with {complaint}"))
        self._story.append(story)
        if state is not self._state:
            self._move(state, message)

    def sending(self, frame: Frame) -> None:
        """Take note of what we are about to say.

        Raises:
            IllegalTransition: a bug of ours: the message does not belong here, or its channel.
        """
        message = frame.message
        step = self._saying.get(type(message))
        if step is None or not step.channel_min <= frame.channel <= step.channel_max:
            peer = self.remote or "peer"
            what = f"say {type(message).__name__} on channel {frame.channel}"
            subject = f"conversation of {self.local} with {peer} {self.remote_name or ''}".rstrip()
            raise IllegalTransition(subject, self._state.value, what, self._story)
        self._story.append(step.story)
        if step.state is not self._state:
            self._move(step.state, message)

    def _move(self, state: ConversationState, message: Message) -> None:
        if isinstance(message, Hello) and self.local is Role.HOST:
            self.remote = message.role
            self.remote_name = message.name
        elif isinstance(message, Welcome) and self.local is Role.HOST:
            self.remote_name = message.name
        self._enter(state)

    def _enter(self, state: ConversationState) -> None:
        self._state = state
        self._hearing = _steps(state, self.remote, self.local, heard=True)
        self._saying = _steps(state, self.local, self.remote, heard=False)
        known = state in _GREETED_STATES or (
            # A worker trusts its launcher from the first word; the reverse waits for WorkerReady.
            state is _S.STARTING and self.local is Role.WORKER
        )
        self._header_bytes_max = (
            limits.HEADER_BYTES_MAX if known else limits.HEADER_BYTES_MAX_GREETING
        )
        self._payload_bytes_max = limits.PAYLOAD_BYTES_MAX if known else 0

    def _describe(self, message: Message, objection: str) -> str:
        speaker = str(self.remote or "an unknown peer")
        if self.remote_name:
            speaker += f" {self.remote_name}"
        kind = type(message).__name__
        return f"{speaker} said {kind} to a {self.local} {objection} (state: {self._state.value})"


def refusal(hello: Hello, proven_role: Role | None = None) -> Refused | None:
    """Why this peer cannot be let in, whoever it is; None if it can."""
    if hello.protocol != PROTOCOL_VERSION:
        who = f"{hello.name} (release {hello.release})"
        return Refused("version", version_text(who, hello.protocol))
    if hello.role not in VISITORS:
        return Refused("role", role_text(hello.role))
    if proven_role not in (None, hello.role):
        return Refused("role", f"it says that it is a {hello.role}, and joined as a {proven_role}")
    return None


def _steps(
    state: ConversationState, speaker: Role | None, listener: Role | None, *, heard: bool
) -> _Steps:
    if listener is None:
        return {}  # a host has nothing to say to a stranger
    if speaker is None:
        return _STEPS.get((state, Role.CLIENT, listener, heard), {}) if state is _S.NEW else {}
    return _STEPS.get((state, speaker, listener, heard), {})


def _trigger(word: type[Message], *, heard: bool) -> Trigger:
    if word is Goodbye:
        return Trigger.GOODBYE_HEARD if heard else Trigger.GOODBYE_SAID
    return _GREETING.get(word, Trigger.HEARD if heard else Trigger.SAID)


def _step(
    state: ConversationState, pair: tuple[Role, Role], word: type[Message], *, heard: bool
) -> _Step | None:
    after = TRANSITIONS.get((state, _trigger(word, heard=heard)))
    if after is None:
        return None
    if state is _S.STARTING and pair[0] is Role.WORKER and word is not WorkerReady:
        return None
    channel_min, channel_max = CONTROL_CHANNEL, CONTROL_CHANNEL
    if Role.WORKER in pair:
        channel_max = CHANNEL_MAX
    elif Role.LAUNCHER in pair and word in WORKER_CHANNEL:
        channel_min, channel_max = CONTROL_CHANNEL + 1, CHANNEL_MAX
    story = f"{'heard' if heard else 'said'} {word.__name__}"
    return _Step(after, story, channel_min, channel_max, check_of(word))


def _all_steps() -> dict[tuple[ConversationState, Role, Role, bool], _Steps]:
    table: dict[tuple[ConversationState, Role, Role, bool], _Steps] = {}
    for pair, words in VOCABULARY.items():
        for state in ConversationState:
            for heard in (True, False):
                steps = {word: _step(state, pair, word, heard=heard) for word in words}
                table[(state, *pair, heard)] = {w: step for w, step in steps.items() if step}
    return table


_STEPS: Final = _all_steps()
