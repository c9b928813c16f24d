"""The Lua sources of a job at the host: its client says what comes and what goes.

The client knows best what it will need: a bundle stays for as long as tasks of it are open, and
beyond that as long as the client does not tire of it.  What nodes keep is ``briefing``'s affair.
"""

from __future__ import annotations

from midas_mp.errors import ProtocolError
from midas_mp.scheduler.records import Job
from midas_mp.scheduler.tables import TaskState
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import DropBundles, PutBundle


def put(job: Job, frame: Frame, message: PutBundle) -> None:
    """Keep one; a client that comes back says again what is known."""
    job.bundles.setdefault(message.digest, Frame(0, message, frame.buffers))


def drop(job: Job, message: DropBundles) -> None:
    """Forget these.

    Raises:
        ProtocolError: a task that is open needs one of them.
    """
    needed = _needed(job)
    for digest in message.digests:
        if digest in needed:
            raise ProtocolError(f"job {job.id}: a task is open that needs bundle {digest}")
        job.bundles.pop(digest, None)


def forget_unneeded(job: Job) -> None:
    """A client that comes back says what it still has; what it dropped meanwhile nobody heard."""
    needed = _needed(job)
    for digest in [digest for digest in job.bundles if digest not in needed]:
        del job.bundles[digest]


def _needed(job: Job) -> set[str]:
    return {
        task.batch.digest
        for tasks in job.rounds.values()
        for task in tasks.values()
        if task.state is not TaskState.DONE
    }
