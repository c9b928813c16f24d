"""Real zygotes and real Lua processes for the tests of this folder."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pytest

from midas_mp.participant.zygote import Child, ChildExit, ChildSpec, Zygote
from midas_mp.wire.framing import Frame, FrameDecoder, encode_all
from midas_mp.wire.messages import AnyMessage

PATIENCE_S: Final = 20.0


class Peer:
    """The parent's side of one Lua process, with blocking calls."""

    def __init__(self, zygote: Zygote, spec: ChildSpec) -> None:
        self.zygote = zygote
        self.exits: list[ChildExit] = []
        self.child: Child = zygote.spawn(spec, self.exits.append)
        self.child.socket.settimeout(PATIENCE_S)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    def send(self, message: AnyMessage, buffers: Sequence[bytes] = ()) -> None:
        self.child.socket.sendall(b"".join(encode_all([Frame(0, message, buffers)])))

    def receive(self) -> Frame:
        """The next frame; ConnectionResetError where the process closed its end."""
        while not self._frames:
            data = self.child.socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError(self.child.page.last_words())
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def is_silent(self) -> bool:
        """Whether nothing can be received now."""
        return not select.select([self.child.socket], [], [], 0)[0]

    def wait_exit(self) -> ChildExit:
        until = time.monotonic() + PATIENCE_S
        while not self.exits:
            left = until - time.monotonic()
            assert left > 0, "the process did not end"
            select.select([self.zygote], [], [], left)
            self.zygote.dispatch()
        return self.exits[0]


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.close()


@pytest.fixture
def spawn(zygote: Zygote) -> Iterator[Callable[..., Peer]]:
    """Starts a Lua process; ``spawn(profile="driver", …)`` overrides what its spec says."""
    peers = []
    usual = zygote

    def start(zygote: Zygote = usual, **overrides: object) -> Peer:
        fields = {
            "name": "laptop-000",
            "node": "laptop",
            "profile": "worker",
            "memory_bytes": 0,
            "memory_hard_bytes": 0,
        }
        peers.append(Peer(zygote, ChildSpec(**(fields | overrides))))
        return peers[-1]

    yield start
    for peer in peers:
        peer.child.close()
