"""Whatever arrives, in whatever pieces: frames that may be said here, or a ProtocolError."""

from __future__ import annotations

import pytest

from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.testing.forgery import forged_word, spoilt
from midas_mp.testing.mutation import cut, noise, tamper
from midas_mp.wire.conversation import Conversation, ConversationState
from midas_mp.wire.framing import Frame, FrameDecoder, encode, encode_all
from midas_mp.wire.messages import Role
from midas_mp.wire.records import RecordReader, RecordWriter
from midas_mp.wire.vocabulary import VOCABULARY

PAIRS = tuple(VOCABULARY)


def conversation(speaker, listener, state):
    """That of the listener, who has come so far with the speaker."""
    is_stranger = listener is Role.HOST and state is ConversationState.NEW
    talk = Conversation(listener, None if is_stranger else speaker)
    talk._enter(state)
    return talk


def outcome_of(pieces, speaker, listener, state):
    """What the listener hears of a stream that comes in these pieces, and how it ends."""
    talk = conversation(speaker, listener, state)
    decoder = FrameDecoder(talk)
    heard: list[Frame] = []
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            heard += decoder.feed(piece)
            assert kept_bytes(decoder) <= fed
    except ProtocolError as error:
        assert kept_bytes(decoder) == 0
        return None, str(error), talk.state
    return [(f.channel, f.message, [bytes(b) for b in f.buffers]) for f in heard], "", talk.state


def kept_bytes(decoder):
    return sum(map(len, [decoder._head, decoder._partial, *decoder._buffers]))


def stream(rng, speaker, listener):
    """What an honest speaker might say, and then something that is not so honest."""
    frames = [forged_word(rng, speaker, listener) for _ in range(rng.randrange(4))]
    data = b"".join(encode_all(frames))
    match rng.randrange(4):
        case 0:
            return tamper(rng, data)
        case 1:
            return data + noise(rng)
        case 2:
            return data
        case _:
            return data + spoilt(rng, forged_word(rng, *rng.choice(PAIRS))) + data


def test_only_protocol_errors_come_of_a_stream_however_it_is_cut(fuzz):
    def case(rng):
        speaker, listener = rng.choice(PAIRS)
        state = rng.choice(list(ConversationState))
        try:
            data = stream(rng, speaker, listener)
        except ProtocolError:
            return  # of a size that nobody can even say
        whole = outcome_of([data], speaker, listener, state)
        pieces = [data[i : i + 1] for i in range(len(data))] if len(data) < 300 else cut(rng, data)
        assert outcome_of(pieces, speaker, listener, state) == whole

    fuzz.run(case, 3_000)


@pytest.mark.parametrize("is_cut", [False, True])
def test_records_give_what_was_sent_or_nothing(fuzz, is_cut):
    def case(rng):
        writer, reader = RecordWriter(), RecordReader()
        sent = [rng.randbytes(rng.choice((1, 5, 300, 5_000))) for _ in range(rng.randint(1, 4))]
        sealed = [b"".join(writer.seal([part])) for part in sent]
        if rng.happens(0.3):
            rng.shuffle(sealed)
        data = b"".join(sealed)
        data = data if rng.happens(0.2) else tamper(rng, data)
        got = bytearray()
        try:
            for piece in cut(rng, data) if is_cut else [data]:
                for part in reader.feed(piece):
                    got += part
        except (ProtocolError, ConnectionLost):
            pass
        assert b"".join(sent).startswith(got)

    fuzz.run(case, 1_000)


def test_what_is_heard_can_be_said_again(fuzz):
    """Whoever passes a message on never finds that it cannot."""

    def case(rng):
        speaker, listener = rng.choice(PAIRS)
        frame = forged_word(rng, speaker, listener)
        try:
            data = b"".join(encode(frame))
        except ProtocolError:
            return
        talk = conversation(speaker, listener, ConversationState.OPEN)
        try:
            (heard,) = FrameDecoder(talk).feed(data)
        except ProtocolError:
            return
        assert b"".join(encode(heard)) == data

    fuzz.run(case, 1_000)
