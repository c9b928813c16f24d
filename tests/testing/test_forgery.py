from __future__ import annotations

import typing

import msgspec
import pytest

from midas_mp.errors import ProtocolError
from midas_mp.testing.chance import Chance
from midas_mp.testing.forgery import bent, forged, forged_frame, forged_word, spoilt
from midas_mp.wire.checks import check_of
from midas_mp.wire.framing import FrameDecoder, decode_header, encode
from midas_mp.wire.messages import Goodbye, Hello, RunTasks
from midas_mp.wire.vocabulary import VOCABULARY, AnyMessage

KINDS = typing.get_args(AnyMessage)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_message_is_forged_in_good_form(kind):
    for number in range(20):
        message = forged(Chance(f"{number}"), kind)
        assert type(message) is kind
        assert decode_header(msgspec.msgpack.encode([message])).message is not None


def test_buffers_fit_as_a_rule():
    frames = [forged_frame(Chance(f"{n}"), RunTasks) for n in range(200)]
    fitting = sum(not check_of(RunTasks)(frame) for frame in frames)
    assert 120 < fitting < 200


def test_a_bent_message_differs_in_one_field_at_most():
    for number in range(50):
        rng = Chance(f"{number}")
        message = forged(rng, Hello)
        before, after = msgspec.to_builtins(message), msgspec.to_builtins(bent(rng, message))
        assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1


def test_words_are_of_the_vocabulary_and_go_on():
    pair = next(iter(VOCABULARY))
    kinds = [type(forged_word(Chance(f"{n}"), *pair).message) for n in range(300)]
    assert set(kinds) == set(VOCABULARY[pair])
    assert kinds.count(Goodbye) < 10


def test_most_of_what_is_spoilt_is_refused():
    refused = 0
    for number in range(200):
        rng = Chance(f"{number}")
        frame = forged_word(rng, *rng.choice(list(VOCABULARY)))
        try:
            decoder = FrameDecoder()
            decoder.feed(spoilt(rng, frame))
            refused += not decoder.is_between_frames
        except ProtocolError:
            refused += 1
    assert 120 < refused < 200


def test_what_is_forged_can_be_sent():
    sent = 0
    for number in range(200):
        rng = Chance(f"{number}")
        try:
            encode(forged_word(rng, *rng.choice(list(VOCABULARY))))
            sent += 1
        except ProtocolError:  # larger than anything may be
            continue
    assert sent > 190
