"""A host with peers that know the protocol, peers that do not, and peers that break it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence

import psutil
import pytest

from midas_mp import limits
from midas_mp.client.client import Client
from midas_mp.errors import ClusterLost
from midas_mp.host.host import Host
from midas_mp.lua.bundle import Bundle
from midas_mp.transport import memory
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import PREFIX, Buffer, Frame, encode_all
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    Call,
    EndJob,
    FetchShared,
    Goodbye,
    Hello,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)
from midas_mp.wire.records import RecordWriter

SOURCE = b"function execute_code() return 1 end"
BUNDLE = Bundle.from_sources("job.lua", [], [SOURCE])
UP = WorkerUp(1, "laptop-000", 0, 3, ["luajit"])


def run_tasks(*indices: int, job: str = "job") -> RunTasks:
    calls = [Call(index) for index in indices]
    return RunTasks(job, 0, 100_000, BUNDLE.digest, "execute_code", calls)


def to(host: Host) -> Callable:
    """A way to a host in this process, as ``Client`` wants it."""

    async def dial(receiver, conversation):
        link, _ = memory.pair(receiver, conversation, host, host.conversation())
        return link

    return dial


async def open_job(client) -> JobOpened:
    client.say(OpenJob("job", "a job", JobSpec()))
    client.say(PutBundle("job", BUNDLE.digest, "job.lua", []), [SOURCE])
    return await client.hear(JobOpened)


async def one_task_works(standing) -> None:
    """A launcher and a client that come now are served as ever."""
    launcher = await standing.launcher(node_id="99", name="other")
    launcher.say(UP)
    client = await standing.client()
    await open_job(client)
    await client.hear(JobStarted)
    client.say(run_tasks(7), [b"\xc0"])
    await launcher.hear(BeginJob)
    await launcher.hear(PutBundle)
    (call,) = (await launcher.hear(RunTasks)).calls
    outcome = Outcome(call.index, call.attempt, Status.OK, 1)
    launcher.say(TaskResults("job", 0, "other-000", [outcome]), [b"\x07"], channel=1)
    assert (await client.hear(TaskResults)).outcomes == [outcome]


# -- who is let in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "whose"), [(PROTOCOL_VERSION + 1, "the host's"), (0, "the peer's")]
)
def test_another_protocol_version_is_told_what_to_upgrade(
    version: int, whose: str, run: Callable, listening: Callable, make_hello: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            visitor = await standing.visit()
            visitor.say(make_hello(protocol=version))
            (refused,) = await visitor.last_words()
            assert isinstance(refused, Refused)
            assert refused.code == "version"
            assert refused.reason.endswith(f"upgrade midas_mp on {whose} machine")
            assert f"speaks protocol {version}" in refused.reason
            assert refused.reason in standing.announced[0]
            await one_task_works(standing)

    run(main())


@pytest.mark.parametrize("role", [Role.WORKER, Role.HOST])
def test_a_role_without_business_here_is_refused(
    role: Role, run: Callable, listening: Callable, make_hello: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            visitor = await standing.visit()
            visitor.say(make_hello(role))
            (refused,) = await visitor.last_words()
            assert (refused.code, refused.reason) == (
                "role",
                f"a {role} has no business at a host's address",
            )

    run(main())


def test_a_silent_peer_is_dropped(
    run: Callable, listening: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.3)

    async def main() -> None:
        async with listening() as standing:
            silent, slow = await standing.visit(), await standing.visit()
            slow.write(PREFIX.pack(100, 0))
            assert await silent.last_words() == []
            assert await slow.last_words() == []
            assert len(standing.announced) == 2
            assert all(text.endswith("did not greet within 0.3 s") for text in standing.announced)
            await one_task_works(standing)

    run(main())


def test_who_has_greeted_may_be_silent(
    run: Callable, listening: Callable, eventually: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.5)

    async def main() -> None:
        async with listening() as standing:
            launcher = await standing.launcher()
            silent = await standing.visit()
            assert await silent.last_words() == []
            launcher.say(UP)
            await eventually(lambda: standing.host.scheduler.statistics().workers == 1)

    run(main())


def test_names_are_numbered_unless_somebody_typed_them(run: Callable, listening: Callable) -> None:
    async def main() -> None:
        async with listening() as standing:
            first = await standing.visit()
            second = await standing.visit()
            third = await standing.visit()
            assert (await first.greet(node_id="1", name="lab")).name == "lab"
            assert (await second.greet(node_id="2", name="lab")).name == "lab-2"
            third.say(
                Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0", "3", "lab", name_is_explicit=True)
            )
            (refused,) = await third.last_words()
            assert isinstance(refused, Refused)
            assert refused.code == "name_taken"
            assert refused.reason == (
                "the name 'lab' is taken by another node: choose another --name"
            )
            assert standing.host.scheduler.statistics().nodes == 2

    run(main())


def test_the_same_node_again_replaces_its_old_connection(
    run: Callable, listening: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            old = await standing.launcher()
            new = await standing.visit()
            welcome = await new.greet()
            assert (welcome.name, welcome.epoch) == ("laptop", 1)
            assert await old.last_words() == [
                Goodbye("replaced by a newer connection of the same node", "replaced")
            ]
            assert standing.host.scheduler.statistics().nodes == 1
            await one_task_works(standing)

    run(main())


# -- who breaks the rules ------------------------------------------------------------------------

_random = random.Random(7)

GREETING = Hello(PROTOCOL_VERSION, Role.CLIENT, "0", "1", "x")


def sealed(*pieces):
    return b"".join(RecordWriter().seal(pieces))


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "zeros": bytes(4096),
    "noise": _random.randbytes(100_000),
    "no message": sealed(PREFIX.pack(3, 0) + b"\xc1\xc1\xc1"),
    "an unknown role": sealed(b"".join(encode_all([Frame(0, GREETING)])).replace(b"cli", b"wiz")),
    "a large header": sealed(PREFIX.pack(limits.HEADER_BYTES_MAX_GREETING + 1, 0)),
    "a large record": sealed(bytes(limits.RECORD_BYTES_MAX_GREETING + 1)),
    "frames without records": b"".join(encode_all([Frame(0, GREETING)])),
    "a damaged greeting": sealed(*encode_all([Frame(0, GREETING)])).replace(b"cli", b"clj"),
    "a payload too early": sealed(*encode_all([Frame(0, GREETING, [b"x" * 10])])),
    "a result too early": sealed(*encode_all([Frame(1, TaskResults("j", 0, "w", []))])),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_on_the_port_disturbs_nobody(
    garbage: str, run: Callable, listening: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            visitor = await standing.visit()
            visitor.write(GARBAGE[garbage])
            assert await visitor.last_words() == []
            (complaint,) = standing.announced
            assert complaint.startswith("127.0.0.1:"), "it says who it was"
            await one_task_works(standing)

    run(main())


@pytest.mark.parametrize(
    ("role", "message", "channel"),
    [
        (Role.CLIENT, UP, 0),
        (Role.CLIENT, TaskResults("job", 0, "w", []), 1),
        (Role.LAUNCHER, OpenJob("job", "", JobSpec()), 0),
        (Role.LAUNCHER, RecallTasks(1), 1),
        (Role.LAUNCHER, TaskResults("job", 0, "w", []), 0),
    ],
)
def test_who_says_what_its_role_may_not_is_dropped(
    role: Role, message, channel: int, run: Callable, listening: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            visitor = await standing.visit()
            await visitor.greet(role)
            visitor.say(message, channel=channel)
            assert await visitor.last_words() == []
            await one_task_works(standing)
            assert standing.host.scheduler.statistics().nodes == 1
            assert standing.host.scheduler.statistics().clients == 1
            if role is Role.LAUNCHER:
                said = f"launcher laptop said {type(message).__name__}"
                assert any(said in text for text in standing.announced)

    run(main())


def test_a_launcher_that_makes_no_sense_is_told_why_and_dropped(
    run: Callable, listening: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            launcher = await standing.launcher()
            launcher.say(UP)
            launcher.say(UP)
            assert await launcher.last_words() == [
                Goodbye("channel 1 has a worker already", "fault")
            ]
            await one_task_works(standing)

    run(main())


def test_a_client_over_its_credit_is_told_why_and_dropped(
    run: Callable, listening: Callable
) -> None:
    async def main() -> None:
        async with listening() as standing:
            launcher = await standing.launcher()
            launcher.say(UP)
            client = await standing.client()
            credit = (await open_job(client)).credit_tasks
            client.say(run_tasks(0), [b"\xc0"])
            await launcher.hear(BeginJob)
            await launcher.hear(PutBundle)
            held = (await launcher.hear(RunTasks)).calls
            for start in range(1, credit + 1, limits.TASKS_PER_FRAME_MAX):
                end = min(start + limits.TASKS_PER_FRAME_MAX, credit + 1)
                indices = range(start, end)
                client.say(run_tasks(*indices), [b"\xc0"] * len(indices))
            *_, goodbye = await client.last_words()
            assert isinstance(goodbye, Goodbye)
            assert f"but the credit is {credit}" in goodbye.reason
            statistics = standing.host.scheduler.statistics()
            assert (statistics.clients, statistics.jobs, statistics.nodes) == (0, 0, 1)
            await launcher.hear(EndJob)
            launcher.say(TasksReturned([TaskRef("job", 0, call.index) for call in held]), channel=1)
            launcher.hang_up()
            await one_task_works(standing)

    run(main())


def test_a_client_that_stays_away_frees_its_workers(run: Callable, listening: Callable) -> None:
    async def main() -> None:
        async with listening(patience_s=0.2) as standing:
            launcher = await standing.launcher()
            launcher.say(UP)
            client = await standing.client()
            await open_job(client)
            await client.hear(JobStarted)
            client.say(run_tasks(1, 2), [b"\xc0"] * 2)
            await launcher.hear(BeginJob)
            await launcher.hear(PutBundle)
            await launcher.hear(RunTasks)
            client.hang_up()
            assert (await launcher.hear(EndJob)).job == "job"
            launcher.say(WorkerDown(1, 0, "killed by SIGKILL"))
            launcher.hang_up()
            await one_task_works(standing)

    run(main())


# -- time ----------------------------------------------------------------------------------------


def test_a_job_that_cannot_go_on_says_so_by_itself(
    run: Callable, listening: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICE_INTERVAL_S", 0.05)

    async def main() -> None:
        async with listening() as standing:
            client = await standing.client()
            await open_job(client)
            for _ in range(3):
                status = await client.hear(JobStatus)
                assert status.notice.startswith("waiting for 1 worker: no node is connected; ")

    run(main())


def test_shared_data_reaches_a_launcher_through_two_bulk_connections(
    run: Callable, listening: Callable
) -> None:
    data = _random.randbytes(3 * limits.SHARED_PART_BYTES + 5)

    async def main() -> None:
        async with listening() as standing:
            launcher = await standing.launcher()
            launcher.say(UP)
            client = await standing.client()
            await open_job(client)
            await client.hear(JobStarted)
            client.say(OfferShared("job", 0, [len(data)]))
            assert await client.hear(FetchShared) == FetchShared("job", 0, 0)
            upload = await standing.visit()
            await upload.greet(Role.BULK, node_id="c1", name="client-1")
            for start in range(0, len(data), limits.SHARED_PART_BYTES):
                part = data[start : start + limits.SHARED_PART_BYTES]
                upload.say(SharedPart("job", 0, start), [part])
            await launcher.hear(BeginJob)
            assert await launcher.hear(OfferShared) == OfferShared("job", 0, [len(data)])
            download = await standing.visit()
            await download.greet(Role.BULK)
            download.say(FetchShared("job", 0, 7))
            received = b""
            while len(received) < len(data) - 7:
                frame = await download.hear_frame()
                assert frame.message == SharedPart("job", 0, 7 + len(received))
                received += bytes(frame.buffers[0])
            assert received == data[7:]
            launcher.say(SharedHeld("job", 0, "laptop", len(data)))
            assert await client.hear(SharedHeld) == SharedHeld("job", 0, "laptop", len(data))

    run(main())


def test_a_bulk_connection_of_nobody_is_refused(run: Callable, listening: Callable) -> None:
    async def main() -> None:
        async with listening() as standing:
            visitor = await standing.visit()
            visitor.say(Hello(PROTOCOL_VERSION, Role.BULK, "0", "77", "lab"))
            (refused,) = await visitor.last_words()
            assert isinstance(refused, Refused)
            assert refused.code == "unknown_node"

    run(main())


def test_closing_says_goodbye_to_all_and_ends_the_clock(
    run: Callable, listening: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICE_INTERVAL_S", 0.01)

    async def main() -> None:
        async with listening() as standing:
            client, launcher = await standing.client(), await standing.launcher()
            await open_job(client)
            await client.hear(JobStatus)
            _, of_launcher, of_client = await asyncio.gather(
                standing.host.close("enough"), launcher.last_words(), client.last_words()
            )
            await standing.host.close("again")
            assert of_launcher[-1] == Goodbye("enough")
            *statuses, goodbye = of_client
            assert goodbye == Goodbye("enough")
            assert all(isinstance(status, JobStatus) for status in statuses)

    run(main())


def test_closing_in_the_middle_of_a_greeting_says_nothing(run: Callable) -> None:
    async def main() -> None:
        host = Host(announce=lambda text: None)
        client = Client(to(host))
        greeting = asyncio.create_task(client.connect())
        while not host._inbox:  # noqa: ASYNC110 - the moment that nobody is told of
            await asyncio.sleep(0)
        await host.close("enough")
        with pytest.raises(ClusterLost, match="the connection to the host was lost"):
            await greeting

    run(main())


# -- memory --------------------------------------------------------------------------------------


class EchoNode:
    """A launcher in this process whose one worker answers each task at once with its payload."""

    def __init__(self, host: Host) -> None:
        self._link, _ = memory.pair(
            self, Conversation(Role.LAUNCHER, Role.HOST), host, Host.conversation()
        )
        hello = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0", "1", "echo", workers_announced=1)
        self._link.send([Frame(0, hello)])

    def frames_received(self, link, frames: list[Frame]) -> None:
        for frame in frames:
            message = frame.message
            if isinstance(message, RunTasks):
                outcomes = [
                    Outcome(call.index, call.attempt, Status.OK, 5) for call in message.calls
                ]
                results = TaskResults(message.job, message.round, "echo-000", outcomes)
                link.send([Frame(frame.channel, results, frame.buffers)])
            elif not isinstance(message, BeginJob | PutBundle | EndJob):
                link.send([Frame(0, WorkerUp(1, "echo-000", 0, 3, ["luajit"]))])

    def link_lost(self, _link, _error) -> None:
        pass


class Counter:
    """An observer that acknowledges what it gets and keeps a digest of it."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self.job = None

    def results_arrived(self, results: TaskResults, _buffers: Sequence[Buffer]) -> None:
        indices = [outcome.index for outcome in results.outcomes]
        self.count += len(indices)
        self.sum += sum(indices)
        self.job.acknowledge(results.round, indices)

    def workers_changed(self, workers: int) -> None:
        pass

    def job_lost(self, error) -> None:
        raise error


def test_memory_stays_flat_over_many_tasks(run: Callable, eventually: Callable) -> None:
    batch = 250
    payloads = [hashlib.sha256(b"%d" % index).digest() for index in range(batch)]

    async def submit(job, observer: Counter, first: int, count: int) -> None:
        for start in range(first, first + count, batch):
            calls = [Call(index) for index in range(start, start + batch)]
            order = RunTasks(job.id, 0, 220_000, BUNDLE.digest, "execute_code", calls)
            await job.submit(order, payloads)
        await eventually(lambda: observer.count == first + count)

    async def main() -> None:
        host = Host(announce=lambda text: None)
        EchoNode(host)
        client, observer = Client(to(host)), Counter()
        await client.connect()
        job = observer.job = client.open_job("many", JobSpec(), BUNDLE, observer)
        await job.wait_started()
        await submit(job, observer, 0, 20_000)
        process = psutil.Process()
        before = process.memory_info().rss
        await submit(job, observer, 20_000, 200_000)
        grown = process.memory_info().rss - before
        assert grown < 16 * limits.MB
        assert observer.sum == sum(range(220_000))
        await eventually(lambda: host.scheduler.statistics().tasks_done == 0)
        statistics = host.scheduler.statistics()
        assert (statistics.tasks_waiting, statistics.tasks_leased) == (0, 0)
        assert (statistics.duplicates, statistics.retries, statistics.losses) == (0, 0, 0)
        job.close()
        client.close()
        await eventually(lambda: host.scheduler.statistics().clients == 0)
        assert host.scheduler.statistics().jobs == 0
        await host.close("done")

    run(main())
