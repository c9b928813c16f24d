from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.participant.zygote_messages import (
    ChildSpec,
    Exited,
    MessageReader,
    Signal,
    Spawn,
    pack,
)

SPEC = ChildSpec("laptop-000", "laptop", "driver", 1 << 40, 0, 2, "/home/ü")


@given(st.lists(st.integers(0, 2**31), max_size=8), st.lists(st.integers(1, 60), max_size=30))
def test_messages_arrive_however_the_stream_is_cut(ids: list[int], cuts: list[int]) -> None:
    said = [m for i in ids for m in (Spawn(i, SPEC), Signal(i, 9))]
    stream = b"".join(map(pack, said))
    reader: MessageReader[Spawn | Signal] = MessageReader(Spawn | Signal)
    heard = []
    for cut in cuts:
        heard += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert heard + reader.feed(stream) == said


def test_a_message_of_the_other_direction_is_refused() -> None:
    reader = MessageReader(Exited)
    with pytest.raises(msgspec.ValidationError):
        reader.feed(pack(Signal(1, 9)))
