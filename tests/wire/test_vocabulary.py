from __future__ import annotations

import itertools

from midas_mp.wire import local, management, messages
from midas_mp.wire.messages import Message, Role
from midas_mp.wire.vocabulary import VOCABULARY, WORKER_CHANNEL


def test_tags_are_unique(message_types):
    tags = [kind.__struct_config__.tag for kind in message_types]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, int) for tag in tags)


def test_every_message_is_in_the_union_and_somebody_says_it(message_types):
    defined = {
        kind
        for module in (messages, management, local)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    spoken = set(itertools.chain.from_iterable(VOCABULARY.values()))
    assert defined == set(message_types) == spoken


def test_what_concerns_a_worker_is_said_between_launchers_and_hosts():
    here, there = (Role.LAUNCHER, Role.HOST), (Role.HOST, Role.LAUNCHER)
    assert {*VOCABULARY[here], *VOCABULARY[there]} > WORKER_CHANNEL
