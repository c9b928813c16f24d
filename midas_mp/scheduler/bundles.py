"""The Lua sources of a job at the host: its client says what comes and what goes.

The client knows best what it will need: a bundle stays for as long as tasks of it are open, and
beyond that as long as the client does not tire of it.  It sees to it itself that they are not too
many, and one that does not is dropped.  What nodes keep is ``briefing``'s affair.
"""

from __future__ import annotations

from collections.abc import Container

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler.shelf import weight
from midas_mp.wire import framing
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import DropBundles, PutBundle


class JobBundles:
    """Of one job.

    Attributes:
        frames: what brought each, by digest.
        size_bytes: what all of them weigh.
    """

    __slots__ = ("frames", "size_bytes")

    def __init__(self) -> None:
        self.frames: dict[str, Frame] = {}
        self.size_bytes = 0

    def put(self, frame: Frame, message: PutBundle) -> None:
        """Keep one; a client that comes back says again what is known.

        Raises:
            ProtocolError: there are too many.
        """
        if message.digest in self.frames:
            return
        size_bytes = self.size_bytes + weight(framing.size_bytes(frame.buffers))
        if self.frames and size_bytes > limits.BUNDLES_BYTES_MAX_HOST:
            most = limits.BUNDLES_BYTES_MAX_HOST // limits.MB
            raise ProtocolError(f"job {message.job}: over {most} MB of Lua sources")
        self.frames[message.digest] = Frame(0, message, frame.buffers)
        self.size_bytes = size_bytes

    def drop(self, message: DropBundles, needed: Container[str]) -> None:
        """Forget these.

        Raises:
            ProtocolError: a task that is open needs one of them.
        """
        for digest in message.digests:
            if digest in needed:
                raise ProtocolError(f"job {message.job}: a task is open that needs bundle {digest}")
            self._forget(digest)

    def forget_unneeded(self, needed: Container[str]) -> None:
        """A client that comes back says what it still has; what it dropped meanwhile nobody
        heard.
        """
        for digest in [digest for digest in self.frames if digest not in needed]:
            self._forget(digest)

    def _forget(self, digest: str) -> None:
        bundle = self.frames.pop(digest, None)
        if bundle is not None:
            self.size_bytes -= weight(framing.size_bytes(bundle.buffers))
