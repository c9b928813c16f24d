"""A client and its jobs, at a host that the test plays over a memory link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from midas_mp.client.client import Client, ClientJob
from midas_mp.errors import ClusterLost, MidasError, PeerRefused, ProtocolError
from midas_mp.lua.bundle import Bundle
from midas_mp.transport import memory, tcp
from midas_mp.transport.address import Address
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    AnyMessage,
    Call,
    EndJob,
    Goodbye,
    Hello,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    OpenJob,
    Outcome,
    PutBundle,
    Refused,
    Role,
    RunTasks,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    Welcome,
)

BUNDLE = Bundle.from_sources("job.lua", ["m"], [b"return require 'm'", b"return 1"])


class HostSide:
    """Remembers what the client says."""

    def __init__(self, client: Client) -> None:
        self.frames: list[Frame] = []
        self._changed = asyncio.Event()
        self.to_host, self.link = memory.pair(
            client, client.conversation(), self, Conversation(Role.HOST, None)
        )

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.frames += frames
        self._changed.set()

    def link_lost(self, _link: Link, _error: MidasError | None) -> None:
        self._changed.set()

    def heard(self, kind: type) -> list[Any]:
        return [frame.message for frame in self.frames if isinstance(frame.message, kind)]

    async def hear(self, kind: type, count: int = 1) -> list[Any]:
        while len(self.heard(kind)) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.heard(kind)

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        self.link.send([Frame(0, message, buffers)])

    def submitted(self) -> list[int]:
        return [call.index for order in self.heard(RunTasks) for call in order.calls]


class Observer:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.lost: asyncio.Future[MidasError] = asyncio.get_running_loop().create_future()

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        indices = [outcome.index for outcome in results.outcomes]
        self.told.append(("results", indices, list(buffers)))

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        self.told.append(("printed", index, worker, text))

    def task_progressed(self, index: int, fraction: float) -> None:
        self.told.append(("progressed", index, fraction))

    def workers_changed(self, workers: int) -> None:
        self.told.append(("workers", workers))

    def noticed(self, text: str) -> None:
        self.told.append(("noticed", text))

    def job_lost(self, error: MidasError) -> None:
        self.lost.set_result(error)


async def let_in() -> tuple[Client, HostSide]:
    client = Client()
    host = HostSide(client)
    greeting = asyncio.create_task(client.greet(host.to_host))
    (hello,) = await host.hear(Hello)
    assert (hello.protocol, hello.role) == (PROTOCOL_VERSION, Role.CLIENT)
    host.say(Welcome(PROTOCOL_VERSION, "0", "client-7", 0))
    assert await greeting == "client-7"
    return client, host


def open_job(client: Client) -> tuple[ClientJob, Observer]:
    observer = Observer()
    return client.open_job("a job", JobSpec(seed=3), BUNDLE, observer, workers_min=2), observer


async def started(
    *, tasks: int = 4, size: int = 1000
) -> tuple[Client, HostSide, ClientJob, Observer]:
    """A client with one started job and so much credit."""
    client, host = await let_in()
    job, observer = open_job(client)
    await host.hear(PutBundle)
    host.say(JobOpened(job.id, tasks, size))
    host.say(JobStarted(job.id, 2))
    assert await job.wait_started() == 2
    return client, host, job, observer


def order(job: ClientJob, *indices: int, round_: int = 0) -> RunTasks:
    calls = [Call(index) for index in indices]
    return RunTasks(job.id, round_, 100, BUNDLE.digest, "execute_code", calls)


def submit(job: ClientJob, *indices: int, size: int = 1) -> asyncio.Task[None]:
    return asyncio.create_task(job.submit(order(job, *indices), [b"x" * size] * len(indices)))


async def a_while() -> None:
    """Enough turns of the loop for everything that is possible to happen in memory."""
    for _ in range(20):
        await asyncio.sleep(0)


# -- opening -------------------------------------------------------------------------------------


def test_a_job_is_announced_with_its_bundle_under_an_id_of_its_own(run: Callable) -> None:
    async def main() -> None:
        client, host = await let_in()
        job, _ = open_job(client)
        other, _ = open_job(client)
        opened = await host.hear(OpenJob, 2)
        assert opened[0] == OpenJob(job.id, "a job", JobSpec(seed=3), 2)
        assert opened[1].job == other.id != job.id
        await host.hear(PutBundle, 2)
        bundle = next(frame for frame in host.frames if isinstance(frame.message, PutBundle))
        assert bundle.message == PutBundle(job.id, BUNDLE.digest, "job.lua", ["m"])
        assert list(bundle.buffers) == [BUNDLE.source, BUNDLE.modules["m"]]
        client.close()

    run(main())


def test_a_title_of_any_length_will_do(run: Callable) -> None:
    async def main() -> None:
        client, host = await let_in()
        client.open_job("x" * 5000, JobSpec(), BUNDLE, Observer())
        assert (await host.hear(OpenJob))[0].title == "x" * 256
        client.close()

    run(main())


def test_a_job_that_the_host_ends_is_lost(run: Callable) -> None:
    async def main() -> None:
        client, host = await let_in()
        job, observer = open_job(client)
        other, _ = open_job(client)
        host.say(JobEnded(job.id, "job_exists", "because"))
        with pytest.raises(ClusterLost, match="because"):
            await job.wait_started()
        assert type(await observer.lost) is ClusterLost
        with pytest.raises(ClusterLost):
            await job.submit(order(job, 0), [b"x"])
        job.close()
        host.say(JobOpened(other.id, 9, 9))
        host.say(JobStarted(other.id, 1))
        assert await other.wait_started() == 1, "the other job goes on"
        client.close()
        assert [end.job for end in await host.hear(EndJob)] == [other.id]

    run(main())


# -- credit --------------------------------------------------------------------------------------


def test_nothing_is_submitted_beyond_the_credit_in_tasks(run: Callable) -> None:
    async def main() -> None:
        client, host, job, _ = await started(tasks=4)
        await submit(job, 0, 1)
        await submit(job, 2, 3)
        more = submit(job, 4, 5)
        await a_while()
        assert host.submitted() == [0, 1, 2, 3]
        job.acknowledge(0, [1])
        await a_while()
        assert not more.done(), "there is credit for one, not for two"
        job.acknowledge(0, [3])
        await more
        await host.hear(RunTasks, 3)
        assert host.submitted() == [0, 1, 2, 3, 4, 5]
        assert host.heard(Acknowledge) == [
            Acknowledge(job.id, 0, [1]),
            Acknowledge(job.id, 0, [3]),
        ]
        client.close()

    run(main())


def test_nothing_is_submitted_beyond_the_credit_in_bytes(run: Callable) -> None:
    async def main() -> None:
        client, host, job, _ = await started(tasks=100, size=1000)
        await submit(job, 0, size=600)
        await submit(job, 1, size=600)
        more = submit(job, 2, size=1)
        await a_while()
        assert not more.done()
        job.acknowledge(0, [0])
        await more
        big = submit(job, 3, size=5000)
        await big
        after = submit(job, 4)
        await a_while()
        assert not after.done()
        job.acknowledge(0, [1, 2])
        await a_while()
        assert not after.done()
        job.acknowledge(0, [3])
        await after
        await a_while()
        assert host.submitted() == [0, 1, 2, 3, 4]
        client.close()

    run(main())


def test_a_task_larger_than_all_credit_goes_alone(run: Callable) -> None:
    async def main() -> None:
        client, _, job, _ = await started(size=10)
        await submit(job, 0, size=5000)
        client.close()

    run(main())


def test_credit_follows_the_cluster(run: Callable) -> None:
    async def main() -> None:
        client, host, job, observer = await started(tasks=2)
        await submit(job, 0, 1)
        more = submit(job, 2)
        await a_while()
        assert not more.done()
        host.say(JobStatus(job.id, 5, 3, "a sentence"))
        await more
        assert observer.told[-2:] == [("workers", 5), ("noticed", "a sentence")]
        host.say(JobStatus(job.id, 1, 1))
        last = submit(job, 3)
        await a_while()
        job.acknowledge(0, [0, 1])
        await a_while()
        assert not last.done(), "one is still pending, and the credit is one"
        job.acknowledge(0, [2])
        await last
        client.close()

    run(main())


def test_the_same_index_of_another_round_is_another_task(run: Callable) -> None:
    async def main() -> None:
        client, host, job, _ = await started(tasks=2)
        await job.submit(order(job, 7, round_=0), [b"x"])
        await job.submit(order(job, 7, round_=1), [b"x"])
        job.acknowledge(0, [7])
        job.acknowledge(1, [7])
        await submit(job, 8, 9)
        await host.hear(RunTasks, 3)
        client.close()

    run(main())


# -- what comes back -----------------------------------------------------------------------------


def test_each_job_hears_what_is_its_own_in_order(run: Callable) -> None:
    async def main() -> None:
        client, host, job, observer = await started()
        other, of_other = open_job(client)
        outcome = Outcome(3, 0, Status.OK, 1)
        host.say(TaskPrinted(job.id, 0, 3, "lab-000"), [bytearray(b"hello")])
        host.say(TaskProgress(job.id, 0, 3, 0.5))
        host.say(TaskResults(job.id, 0, "lab-000", [outcome]), [b"\x07"])
        host.say(JobOpened(other.id, 1, 1))
        host.say(TaskProgress("a-job-of-the-past", 0, 3, 0.5))
        host.say(JobStarted(other.id, 4))
        await other.wait_started()
        assert observer.told == [
            ("workers", 2),
            ("printed", 3, "lab-000", b"hello"),
            ("progressed", 3, 0.5),
            ("results", [3], [b"\x07"]),
        ]
        assert of_other.told == [("workers", 4)]
        client.close()

    run(main())


def test_a_closed_job_hears_nothing_and_says_so_once(run: Callable) -> None:
    async def main() -> None:
        client, host, job, observer = await started()
        job.close("seen enough")
        job.close("again")
        told = list(observer.told)
        host.say(TaskResults(job.id, 0, "w", [Outcome(0, 0, Status.OK, 1)]), [b"x"])
        await a_while()
        assert observer.told == told
        assert host.heard(EndJob) == [EndJob(job.id, "seen enough")]
        client.close()

    run(main())


# -- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["broken off", "goodbye"])
def test_a_lost_host_is_told_to_all_jobs_and_to_who_waits(how: str, run: Callable) -> None:
    async def main() -> None:
        client, host, job, observer = await started(tasks=1)
        queued, of_queued = open_job(client)
        await submit(job, 0)
        waiting = submit(job, 1)
        await a_while()
        if how == "goodbye":
            host.link.close(Frame(0, Goodbye("the host is stopping")))
        else:
            host.link.abort()
        for attempt in (waiting, queued.wait_started()):
            with pytest.raises(ClusterLost, match="stopping" if how == "goodbye" else "was lost"):
                await attempt
        assert isinstance(await observer.lost, ClusterLost)
        assert isinstance(await of_queued.lost, ClusterLost)
        with pytest.raises(ClusterLost):
            await job.submit(order(job, 2), [b"x"])
        job.acknowledge(0, [0])
        job.close()
        late, of_late = open_job(client)
        with pytest.raises(ClusterLost):
            await late.wait_started()
        assert isinstance(await of_late.lost, ClusterLost)
        client.close()

    run(main())


def test_a_refused_client_hears_why(run: Callable) -> None:
    async def main() -> None:
        client = Client()
        host = HostSide(client)
        greeting = asyncio.create_task(client.greet(host.to_host))
        await host.hear(Hello)
        host.link.close(Frame(0, Refused("version", "upgrade midas_mp on the peer's machine")))
        with pytest.raises(PeerRefused, match="upgrade midas_mp") as caught:
            await greeting
        assert caught.value.refusal == "version"
        client.close()

    run(main())


def test_a_host_that_hangs_up_during_the_greeting_is_lost(run: Callable) -> None:
    async def main() -> None:
        client = Client()
        host = HostSide(client)
        greeting = asyncio.create_task(client.greet(host.to_host))
        await host.hear(Hello)
        host.link.abort()
        with pytest.raises(ClusterLost, match="was lost"):
            await greeting
        client.close()

    run(main())


def test_what_answers_and_is_no_host_is_called_so(run: Callable) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        client = Client()
        link = await tcp.connect(address, client, client.conversation())
        with pytest.raises(ProtocolError, match=f"{address} does not answer like a Midas host"):
            await client.greet(link)
        client.close()
        server.close()

    run(main())


def test_a_client_may_leave_before_it_was_welcomed(run: Callable) -> None:
    """Ctrl-C while the host does not answer."""

    async def main() -> None:
        client = Client()
        host = HostSide(client)
        greeting = asyncio.create_task(client.greet(host.to_host))
        await host.hear(Hello)
        client.close()
        client.close()
        await a_while()
        assert host.heard(Goodbye) == []
        assert host.link.is_closed
        greeting.cancel()

    run(main())


def test_closing_ends_all_jobs_first(run: Callable) -> None:
    async def main() -> None:
        client, host, job, observer = await started()
        other, _ = open_job(client)
        client.close()
        client.close()
        await host.hear(Goodbye)
        assert {end.job for end in host.heard(EndJob)} == {job.id, other.id}
        assert isinstance(host.frames[-1].message, Goodbye)
        await a_while()
        assert not observer.lost.done(), "who closes needs no telling"

    run(main())
