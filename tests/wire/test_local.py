from __future__ import annotations

import itertools

import pytest

from midas_mp.errors import ProtocolError
from midas_mp.wire import local
from midas_mp.wire.framing import Frame, decode_header, encode
from midas_mp.wire.local import BlobRef, ReleaseBlobs, WorkerReady
from midas_mp.wire.messages import Message, Role
from midas_mp.wire.vocabulary import VOCABULARY

LOCAL = {
    kind
    for kind in vars(local).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}


def test_none_of_it_is_said_to_or_by_a_host():
    heard = {words for pair, words in VOCABULARY.items() if Role.HOST in pair}
    assert WorkerReady in LOCAL
    assert not LOCAL & set(itertools.chain.from_iterable(heard))


def test_what_is_released_without_files_names_none():
    (encoded,) = encode(Frame(0, ReleaseBlobs([BlobRef(1, 4096, 10)])))
    assert decode_header(encoded[8:]).message == ReleaseBlobs([BlobRef(1, 4096, 10)], [], None)


def test_no_worker_is_confined_more_than_fully():
    (encoded,) = encode(Frame(0, WorkerReady(7, 4, ["luajit"])))
    with pytest.raises(ProtocolError, match="not a message"):
        decode_header(encoded[8:])
