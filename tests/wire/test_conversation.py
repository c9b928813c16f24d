from __future__ import annotations

import itertools
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import IllegalTransition, ProtocolError
from midas_mp.wire.conversation import (
    STORY_LENGTH,
    TRANSITIONS,
    Conversation,
    ConversationState,
    Trigger,
    refusal,
)
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import (
    BlobRef,
    LoadScript,
    ReleaseBlobs,
    ResultsStored,
    ScriptLoaded,
    SharedData,
    StoreResults,
    WorkerReady,
)
from midas_mp.wire.management import (
    Action,
    Control,
    ControlAnswered,
    ControlResult,
    JobReport,
    JobsListed,
    KillWorker,
    ListJobs,
    ListNodes,
    NodesListed,
    PauseJob,
    PauseWorker,
)
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    BeginJob,
    Call,
    CancelTasks,
    DropBundles,
    EndJob,
    FetchShared,
    Goodbye,
    Heartbeat,
    Hello,
    Invite,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    LimitTasks,
    NodeLeaving,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    TasksCancelled,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerUp,
)
from midas_mp.wire.vocabulary import VOCABULARY, WORKER_CHANNEL

LAUNCHER, HOST, CLIENT = Role.LAUNCHER, Role.HOST, Role.CLIENT
BULK, WORKER = Role.BULK, Role.WORKER
NEW, GREETED, STARTING, OPEN, LEAVING, LEFT, CLOSED = ConversationState

DIGEST = "0" * 64

SAMPLES = {
    type(message): (message, buffers)
    for message, buffers in [
        (Welcome(PROTOCOL_VERSION, "0.1", "node-2", 0), []),
        (Refused("version", "upgrade"), []),
        (Goodbye("bye"), []),
        (Heartbeat(), []),
        (Invite("midas-ab12", "cd34"), []),
        (WorkerReady(1, 3, ["luajit"]), []),
        (WorkerUp(1, "w", 0, 3, ["luajit"]), []),
        (NodeLeaving("draining", 30), []),
        (ListNodes(), []),
        (NodesListed([], is_last=True), []),
        (WorkerDown(1, 0, "gone"), []),
        (OpenJob("j", "title", JobSpec()), []),
        (JobOpened("j", 1, 1), []),
        (JobStarted("j", 1), []),
        (JobStatus("j", 1, 1), []),
        (JobEnded("j", "ok", ""), []),
        (BeginJob("j", JobSpec()), []),
        (EndJob("j"), []),
        (PutBundle("j", DIGEST, "main.lua", ["m"]), [b"main", b"module"]),
        (DropBundles("j", [DIGEST]), []),
        (LimitTasks("j", 0, 2.5), []),
        (RunTasks("j", 0, 2, DIGEST, "execute_code", [Call(0), Call(1, 0, 2)]), [b"a", b"b", b"c"]),
        (TaskResults("j", 0, "w", [Outcome(0, 0, Status.OK, 1)]), [b"r"]),
        (RecallTasks(1), []),
        (TasksReturned([]), []),
        (CancelTasks("j", 0, [0]), []),
        (TasksCancelled("j", 0, [0]), []),
        (TaskPrinted("j", 0, 0, "w"), [b"text"]),
        (TaskProgress("j", 0, 0, 0.5), []),
        (TaskRunning("j", 0, 0, "w", 7.5), []),
        (Acknowledge("j", 0, [0]), []),
        (Control(Action.PAUSE, "node"), []),
        (ControlAnswered(ControlResult.DONE, "it is paused"), []),
        (KillWorker(0, "killed by ann"), []),
        (ListJobs(), []),
        (JobsListed([JobReport("j", "primes", "client", "started", 1, 2, 3)], is_last=True), []),
        (PauseJob("j", is_paused=True), []),
        (PauseWorker(is_paused=True), []),
        (OfferShared("j", 0, [1]), []),
        (FetchShared("j", 0, 0), []),
        (SharedPart("j", 0, 0), [b"p"]),
        (SharedHeld("j", 0, "node", 1), []),
        (SharedData("j", 0), [b"p"]),
        (ReleaseBlobs([BlobRef(1, 0, 65_536)], [2]), []),
        (LoadScript("j", DIGEST), []),
        (ScriptLoaded("j", ["execute_code"]), [b"\xc0"]),
        (StoreResults("j", 0, [Outcome(0, 0, Status.OK, 1)]), [b"r"]),
        (ResultsStored("j", 0, [0]), []),
    ]
}


def hello(role: Role = LAUNCHER) -> Frame:
    return Frame(0, Hello(PROTOCOL_VERSION, role, "0.1", "ab", "node"))


def sample(kind: type, speaker: Role, listener: Role) -> Frame:
    if kind is Hello:
        return hello(speaker)
    on_worker_channel = {speaker, listener} == {LAUNCHER, HOST} and kind in WORKER_CHANNEL
    return Frame(int(on_worker_channel), *SAMPLES[kind])


def talk(local: Role, remote: Role, state: ConversationState) -> Conversation:
    """A conversation that has come to this state by what may be said."""
    conversation = Conversation(local, remote)

    def said(kind: type) -> None:
        conversation.sending(sample(kind, local, remote))

    def heard(kind: type) -> None:
        conversation.receive(sample(kind, remote, local))

    if WORKER in (local, remote):
        if state is not STARTING:
            (said if local is WORKER else heard)(WorkerReady)
    else:
        mine, theirs = (heard, said) if local is HOST else (said, heard)
        if state is not NEW:
            mine(Hello)
        if state in (OPEN, LEAVING, LEFT, CLOSED):
            theirs(Welcome)
        if state in (LEAVING, CLOSED):
            said(Goodbye)
        if state in (LEFT, CLOSED):
            heard(Goodbye)
    assert conversation.state is state
    return conversation


PAIRS = [
    *((peer, HOST) for peer in (LAUNCHER, CLIENT, BULK)),
    *((HOST, peer) for peer in (LAUNCHER, CLIENT, BULK)),
]
WORKER_PAIRS = [(WORKER, LAUNCHER), (LAUNCHER, WORKER)]
NETWORK_STATES = [NEW, GREETED, OPEN, LEAVING, LEFT, CLOSED]
KINDS = [Hello, *SAMPLES]

CASES = [(*pair, state) for pair in PAIRS for state in NETWORK_STATES]
CASES += [(*pair, state) for pair in WORKER_PAIRS for state in (STARTING, OPEN)]


def expected(speaker: Role, listener: Role, state: ConversationState, *, heard: bool) -> set[type]:
    """What may be said, written down a second time, by hand."""
    words = set(VOCABULARY[speaker, listener])
    traffic = words - {Hello, Welcome, Refused, WorkerReady}
    return {
        NEW: {Hello} if listener is HOST else set(),
        GREETED: {Welcome, Refused} if speaker is HOST else set(),
        STARTING: {WorkerReady} if speaker is WORKER else words,
        OPEN: traffic,
        LEAVING: traffic if heard else set(),
        LEFT: set() if heard else traffic,
        CLOSED: set(),
    }[state]


@pytest.mark.parametrize(("speaker", "listener", "state"), CASES)
def test_a_listener_hears_what_belongs_and_refuses_all_else(speaker, listener, state):
    allowed = expected(speaker, listener, state, heard=True)
    for kind in KINDS:
        conversation = talk(listener, speaker, state)
        frame = sample(kind, speaker, listener)
        if kind in allowed:
            conversation.receive(frame)
            assert conversation.story[-1] == f"heard {kind.__name__}"
        else:
            with pytest.raises(ProtocolError) as caught:
                conversation.receive(frame)
            assert f"{kind.__name__} to a {listener}" in str(caught.value)
            assert f"(state: {state.value})" in str(caught.value)
            assert str(speaker) in str(caught.value)
            assert conversation.state is state


@pytest.mark.parametrize(("speaker", "listener", "state"), CASES)
def test_a_speaker_says_what_belongs_and_all_else_is_our_bug(speaker, listener, state):
    allowed = expected(speaker, listener, state, heard=False)
    for kind in KINDS:
        conversation = talk(speaker, listener, state)
        frame = sample(kind, speaker, listener)
        if kind in allowed:
            conversation.sending(frame)
            assert conversation.story[-1] == f"said {kind.__name__}"
        else:
            with pytest.raises(IllegalTransition) as caught:
                conversation.sending(frame)
            assert caught.value.state == state.value
            assert kind.__name__ in caught.value.trigger
            assert caught.value.story == conversation.story


@pytest.mark.parametrize(("speaker", "listener"), [*PAIRS, *WORKER_PAIRS])
def test_channels_are_those_of_the_message(speaker, listener):
    start = OPEN
    for kind in set(VOCABULARY[speaker, listener]) - {Hello, Welcome, Refused, WorkerReady}:
        for channel in (0, 1, 65_535, 65_536):
            frame = sample(kind, speaker, listener)._replace(channel=channel)
            if WORKER in (speaker, listener):
                is_allowed = channel <= 65_535
            elif LAUNCHER in (speaker, listener) and kind in WORKER_CHANNEL:
                is_allowed = 1 <= channel <= 65_535
            else:
                is_allowed = channel == 0
            hearing, saying = talk(listener, speaker, start), talk(speaker, listener, start)
            if is_allowed:
                hearing.receive(frame)
                saying.sending(frame)
            else:
                with pytest.raises(ProtocolError, match=f"on channel {channel}"):
                    hearing.receive(frame)
                with pytest.raises(IllegalTransition, match=f"on channel {channel}"):
                    saying.sending(frame)


def test_what_a_message_says_wrongly_is_told_with_who_said_it():
    frame = sample(RunTasks, CLIENT, HOST)
    with pytest.raises(ProtocolError, match="said RunTasks to a host with 4 buf"):
        talk(HOST, CLIENT, OPEN).receive(frame._replace(buffers=[*frame.buffers, b"one too many"]))


def test_every_message_has_a_speaker_and_a_sample(message_types):
    spoken = set(itertools.chain.from_iterable(VOCABULARY.values()))
    assert spoken == set(message_types) == set(KINDS)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(KINDS)), max_size=30))
def test_two_ends_never_disagree_about_what_may_be_said(utterances):
    # Whatever one end may say, the other may hear: there is no way to be cut off by being correct.
    a, b = Conversation(LAUNCHER, HOST), Conversation(HOST, None)
    for a_speaks, kind in utterances:
        speaker, listener = (a, b) if a_speaks else (b, a)
        frame = sample(kind, speaker.local, listener.local)
        try:
            speaker.sending(frame)
        except IllegalTransition:
            continue
        listener.receive(frame)


@given(st.lists(st.sampled_from(["a says", "b says", "a hears", "b hears"]), max_size=40))
def test_words_that_cross_on_the_way_are_heard(turns):
    # As above with delay: each end says all it may, goodbyes included, while the other's words
    # are still on the way.
    ends = {
        "a": talk(LAUNCHER, HOST, OPEN),
        "b": talk(HOST, LAUNCHER, OPEN),
    }
    words = {"a": [TaskResults, TaskResults, Goodbye], "b": [RunTasks, RunTasks, Goodbye]}
    on_the_way = {"a": [], "b": []}
    for turn in turns:
        who, does = turn.split()
        other = "b" if who == "a" else "a"
        if does == "says" and words[who]:
            frame = sample(words[who].pop(0), ends[who].local, ends[other].local)
            ends[who].sending(frame)
            on_the_way[other].append(frame)
        elif does == "hears" and on_the_way[who]:
            ends[who].receive(on_the_way[who].pop(0))


def test_a_host_learns_who_its_peer_is():
    conversation = Conversation(HOST, None)
    assert (conversation.remote, conversation.remote_name) == (None, None)
    conversation.receive(hello(CLIENT))
    assert (conversation.remote, conversation.remote_name) == (CLIENT, "node")
    conversation.sending(sample(Welcome, HOST, CLIENT))
    assert conversation.remote_name == "node-2"
    with pytest.raises(ProtocolError, match="client node-2 said WorkerUp to a host"):
        conversation.receive(sample(WorkerUp, LAUNCHER, HOST))


@pytest.mark.parametrize("role", [WORKER, HOST])
def test_a_stranger_is_heard_and_can_only_be_refused(role):
    conversation = Conversation(HOST, None)
    conversation.receive(hello(role))
    with pytest.raises(IllegalTransition):
        conversation.sending(sample(Welcome, HOST, LAUNCHER))
    conversation.sending(sample(Refused, HOST, LAUNCHER))
    assert conversation.state is CLOSED


def test_a_host_says_nothing_before_it_was_greeted():
    with pytest.raises(IllegalTransition, match="conversation of host with peer"):
        Conversation(HOST, None).sending(sample(Welcome, HOST, LAUNCHER))


@pytest.mark.parametrize(("local", "remote", "state"), CASES)
def test_limits_are_small_until_the_peer_is_known(local, remote, state):
    conversation = talk(local, remote, state)
    is_known = state in (OPEN, LEAVING, LEFT) or (state is STARTING and local is WORKER)
    assert conversation.is_open == (state in (OPEN, LEAVING, LEFT))
    assert conversation.may_speak == (state in (OPEN, LEFT))
    assert conversation.header_bytes_max == (64 if is_known else 4) * 1024
    assert conversation.payload_bytes_max == (limits.PAYLOAD_BYTES_MAX if is_known else 0)


def test_a_greeting_is_due_until_the_peers_part_of_it_was_heard():
    host, launcher = Conversation(HOST, None), Conversation(LAUNCHER, HOST)
    assert host.is_greeting_due
    assert launcher.is_greeting_due
    launcher.sending(hello())
    host.receive(hello())
    assert not host.is_greeting_due  # what is missing is our own answer
    assert launcher.is_greeting_due
    launcher.receive(sample(Welcome, HOST, LAUNCHER))
    assert not launcher.is_greeting_due


def test_the_story_is_bounded_and_in_order():
    conversation = talk(HOST, LAUNCHER, OPEN)
    assert conversation.story == ("heard Hello", "said Welcome")
    for _ in range(100):
        conversation.receive(sample(TaskResults, LAUNCHER, HOST))
    conversation.sending(sample(Goodbye, HOST, LAUNCHER))
    assert len(conversation.story) == STORY_LENGTH
    assert conversation.story[-2:] == ("heard TaskResults", "said Goodbye")


@pytest.mark.parametrize(("theirs", "side"), [(0, "the peer's"), (PROTOCOL_VERSION + 1, "host's")])
def test_another_protocol_version_is_refused_with_what_to_upgrade(theirs, side):
    refused = refusal(Hello(theirs, LAUNCHER, "9.9", "ab", "laptop"))
    assert refused is not None
    assert refused.code == "version"
    for fact in (f"protocol {theirs}", f"protocol {PROTOCOL_VERSION}", "9.9", "laptop", side):
        assert fact in refused.reason
    assert "upgrade midas_mp" in refused.reason


@pytest.mark.parametrize(
    ("role", "code"), [(LAUNCHER, None), (CLIENT, None), (HOST, "role"), (WORKER, "role")]
)
def test_only_launchers_and_clients_are_let_in(role, code):
    refused = refusal(hello(role).message)
    assert (refused and refused.code) == code


def test_who_joined_as_somebody_else_is_not_let_in():
    refused = refusal(hello(CLIENT).message, LAUNCHER)
    assert refused is not None
    assert refused.reason == "it says that it is a client, and joined as a launcher"
    assert refusal(hello(CLIENT).message, CLIENT) is None


def test_a_refusal_of_the_longest_hello_fits_its_message():
    refused = refusal(Hello(2**53, LAUNCHER, "r" * 64, "ab", "n" * 128))
    assert refused is not None
    assert len(refused.reason) < 8_192


def test_every_trigger_is_used():
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_judging_a_frame_costs_microseconds():
    conversation = talk(HOST, LAUNCHER, OPEN)
    outcomes = [Outcome(i, 0, Status.OK, 1) for i in range(64)]
    frame = Frame(1, TaskResults("j", 0, "w", outcomes), [b"r"] * 64)
    best = min(timeit.repeat(lambda: conversation.receive(frame), number=500, repeat=5)) / 500
    assert best < 40e-6  # 1.7 us measured; what may not happen is a cost of another order
