from __future__ import annotations

import pytest

from midas_mp.errors import ProtocolError
from midas_mp.wire import management
from midas_mp.wire.framing import Frame, decode_header, encode
from midas_mp.wire.management import Action, Control
from midas_mp.wire.messages import Message, Role
from midas_mp.wire.vocabulary import VOCABULARY

BETWEEN = [(Role.CLIENT, Role.HOST), (Role.HOST, Role.CLIENT), (Role.HOST, Role.LAUNCHER)]
"""Clients ask and are answered, launchers do as they are told."""


def test_nodes_never_manage():
    words = {
        kind
        for kind in vars(management).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    assert words
    for pair, spoken in VOCABULARY.items():
        if pair not in BETWEEN:
            assert not words & set(spoken), pair


@pytest.mark.parametrize("target", ["", "x" * 129])
def test_a_target_has_a_name_of_some_length(target):
    (encoded,) = encode(Frame(0, Control(Action.KILL, target)))
    with pytest.raises(ProtocolError, match="not a message"):
        decode_header(encoded[8:])
