"""A client and its jobs; and against a real host, with its connections cut at every moment."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack
import pytest

from midas_mp import limits
from midas_mp.client.client import Client
from midas_mp.client.cluster import InProcessCluster, dial_within
from midas_mp.errors import ClusterLost, JobKilled, MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import memory, tcp
from midas_mp.transport.address import Address
from midas_mp.transport.link import Dial, Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.management import Action, Control, ControlAnswered, ControlResult
from midas_mp.wire.messages import (
    Call,
    EndJob,
    Goodbye,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    OpenJob,
    PutBundle,
    Role,
    RunTasks,
    TaskResults,
)

# -- jobs ----------------------------------------------------------------------------------------


def test_a_job_is_announced_with_its_bundle_under_an_id_of_its_own(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.let_in()
        job, _ = s.open_job()
        other, _ = s.open_job()
        opened = await s.side.hear(OpenJob, 2)
        assert opened[0] == OpenJob(job.id, "a job", JobSpec(seed=3), 2)
        assert opened[1].job == other.id != job.id
        await s.side.hear(PutBundle, 2)
        bundle = next(frame for frame in s.side.frames if isinstance(frame.message, PutBundle))
        assert bundle.message == PutBundle(job.id, s.bundle.digest, "job.lua", ["m"])
        assert list(bundle.buffers) == [s.bundle.source, s.bundle.modules["m"]]
        s.client.close()

    run(main())


def test_a_title_of_any_length_will_do(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.let_in()
        s.client.open_job("x" * 5000, JobSpec(), s.bundle, s.new_observer())
        assert (await s.side.hear(OpenJob))[0].title == "x" * 256
        s.client.close()

    run(main())


def test_a_job_that_the_host_ends_is_lost(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.let_in()
        s.job, observer = s.open_job()
        other, _ = s.open_job()
        s.side.say(JobEnded(s.job.id, "job_exists", "because"))
        with pytest.raises(ClusterLost, match="because"):
            await s.job.wait_started()
        assert type(await observer.lost) is ClusterLost
        with pytest.raises(ClusterLost):
            await s.submit(0)
        await s.cut()
        assert [opened.job for opened in await s.side.hear(OpenJob)] == [other.id]
        s.job.close()
        s.side.say(JobOpened(other.id, 9, 9))
        s.side.say(JobStarted(other.id, 1))
        assert await other.wait_started() == 1, "the other job goes on"
        s.client.close()
        assert [end.job for end in await s.side.hear(EndJob)] == [other.id]

    run(main())


def test_a_job_that_somebody_killed_says_by_whom(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.side.say(JobEnded(s.job.id, "killed", "killed by ann@laptop"))
        error = await s.observer.lost
        assert isinstance(error, JobKilled)
        assert (str(error), error.exit_code) == ("the job was killed by ann@laptop", 4)
        with pytest.raises(JobKilled):
            await s.submit(0)
        s.client.close()
        await s.side.hear(Goodbye)
        assert s.side.heard(EndJob) == [], "it has ended"

    run(main())


def test_all_jobs_stand_still_those_of_later_and_at_the_next_host_too(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        s.client.pause(is_paused=True)
        assert await s.side.hear(Control) == [Control(Action.PAUSE, s.job.id)]
        late, _ = s.open_job()
        assert await s.side.hear(Control, 2) == [
            Control(Action.PAUSE, s.job.id),
            Control(Action.PAUSE, late.id),
        ]
        s.side.say(ControlAnswered(ControlResult.DONE, "it is paused"))
        s.side.say(JobStatus(s.job.id, 2, 4, "paused; 'midas resume' lets it go on"))
        await s.a_while()
        await s.cut()
        assert len(await s.side.hear(Control, 2)) == 2
        assert not [text for text in s.observer.notices() if "midas resume" in text], "it knows"
        s.client.pause(is_paused=False)
        assert (await s.side.hear(Control, 4))[2:] == [
            Control(Action.RESUME, s.job.id),
            Control(Action.RESUME, late.id),
        ]
        s.side.say(JobStatus(s.job.id, 2, 4, "whatever"))
        await s.a_while()
        await s.cut()
        resumes = [Control(Action.RESUME, job.id) for job in (s.job, late)]
        assert await s.side.hear(Control, 2) == resumes, "it may not have heard it"
        assert "whatever" in s.observer.notices()
        s.client.close()

    run(main())


def test_closing_ends_all_jobs_first(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        other, _ = s.open_job()
        s.client.close()
        s.client.close()
        await s.side.hear(Goodbye)
        assert {end.job for end in s.side.heard(EndJob)} == {s.job.id, other.id}
        assert isinstance(s.side.frames[-1].message, Goodbye)
        await s.a_while()
        assert not s.observer.lost.done(), "who closes needs no telling"

    run(main())


def test_jobs_that_are_opened_or_closed_while_away_are_told_on_return(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        s.host.is_away = True
        s.side.link.abort()
        await s.a_while()
        s.job.close("seen enough")
        late, _ = s.open_job()
        s.host.is_away = False
        s.side = await s.host.welcomed()
        assert [opened.job for opened in await s.side.hear(OpenJob)] == [late.id]
        assert s.side.heard(EndJob) == [EndJob(s.job.id, "seen enough")]
        s.job = late
        await s.admit()
        assert await late.wait_started() == 2
        s.client.close()

    run(main())


def test_the_end_of_a_job_that_may_not_have_arrived_is_said_again(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.close("seen enough")
        await s.cut()
        assert await s.side.hear(EndJob) == [EndJob(s.job.id, "seen enough")]
        s.client.close()

    run(main())


# -- cut everywhere ------------------------------------------------------------------------------

SOURCE = b"""
function execute_code()
  if global_data % 5 == 0 then print(global_data) end
  return 2 * global_data + #shared_data
end
"""
SHARED = msgpack.packb("s" * (3 * limits.SHARED_PART_BYTES // 2))
TASKS, BATCH = 40, 5
EXPECTED = {index: 2 * index + 3 * limits.SHARED_PART_BYTES // 2 for index in range(TASKS)}


FRAMES_MIN = {
    (Role.CLIENT, "inward"): 8,
    (Role.CLIENT, "outward"): 8,
    (Role.BULK, "inward"): 2,  # its welcome
    (Role.BULK, "outward"): 4,  # its hello, and two parts
}
"""So many cuts there must have been at least, and one job without."""


class Scissors:
    """Cuts a connection when so many frames have come on it, and lets all others be.

    What is on the way then is lost, and what is sent in the next ``silent_s``, before either side
    knows of the cut.
    """

    def __init__(self, role: Role, *, silent_s: float = 0.0, **left: int) -> None:
        self.role = role
        self.silent_s = silent_s
        self.left: dict[str, int | None] = {"inward": None, "outward": None} | left
        self.cuts = 0

    def receiver(self, receiver: Receiver, way: str) -> Receiver:
        return Snipped(receiver, self, way)


class Snipped:
    """Passes on frames until its scissors close."""

    def __init__(self, receiver: Receiver, scissors: Scissors, way: str) -> None:
        self.receiver = receiver
        self.scissors = scissors
        self.way = way
        self.is_cut = False

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        scissors, conversation = self.scissors, link.conversation
        left = scissors.left[self.way]
        role = conversation.local if self.way == "inward" else conversation.remote
        if self.is_cut:
            return
        if left is None or role is not scissors.role:
            self.receiver.frames_received(link, frames)
            return
        if frames[:left]:
            self.receiver.frames_received(link, frames[:left])
        scissors.left[self.way] = left - len(frames)
        if len(frames) >= left:
            scissors.left[self.way] = None
            scissors.cuts += 1
            self.is_cut = True
            asyncio.get_running_loop().call_later(scissors.silent_s, link.abort)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self.receiver.link_lost(link, error)


class Collector:
    """The observer of one job: acknowledges what it has got, and never gets a thing twice."""

    def __init__(self, dial: Dial, *, shared: bytes = SHARED) -> None:
        self.client = Client(dial, jitter=random.Random(7))
        self.results: dict[int, Any] = {}
        self.notices: list[str] = []
        self._shared = shared
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> dict[int, Any]:
        try:
            await self.client.connect()
            bundle = Bundle.from_sources("job.lua", [], [SOURCE])
            self.job = self.client.open_job("job", JobSpec(), bundle, self)
            await self.job.wait_started()
            self.job.share(0, [self._shared])
            for start in range(0, TASKS, BATCH):
                calls = [Call(index) for index in range(start, start + BATCH)]
                order = RunTasks(self.job.id, 0, TASKS, bundle.digest, "execute_code", calls)
                await self.job.submit(order, [msgpack.packb(call.index) for call in calls])
                await asyncio.sleep(0)
            await self._done
            return self.results
        finally:
            self.client.close()

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        indices = [outcome.index for outcome in results.outcomes]
        for index, payload in zip(indices, buffers, strict=True):
            assert index not in self.results, "a result that came twice"
            self.results[index] = msgpack.unpackb(payload)
        # safe a moment later, as where they are written to a disk
        asyncio.get_running_loop().call_later(
            0.001 * (indices[0] % 3), self.job.acknowledge, results.round, indices
        )
        if len(self.results) == TASKS:
            asyncio.get_running_loop().call_later(0.01, self._done.set_result, None)

    def job_lost(self, error: MidasError) -> None:
        self._done.set_exception(error)

    def noticed(self, text: str) -> None:
        self.notices.append(text)

    def task_printed(self, index: int, worker: str, text: bytes) -> None: ...
    def task_progressed(self, index: int, fraction: float) -> None: ...
    def task_running(self, index: int, worker: str, elapsed_s: float) -> None: ...
    def workers_changed(self, workers: int) -> None: ...
    def shared_progressed(self, node: str, received: int, total: int) -> None: ...


@pytest.fixture
def cluster(run: Callable) -> Iterator[Callable]:
    """Runs a test's coroutine with a host that has two workers."""

    def run_with(test: Callable) -> None:
        async def main() -> None:
            supervisor = Supervisor(Zygote.start(), zygote_lost=lambda error: None)
            settings = NodeSettings("here", False, 2, 256 * limits.MB)
            cluster = InProcessCluster(supervisor, settings)
            try:
                await test(cluster)
            finally:
                await cluster.close()
                supervisor.close()

        run(main())

    return run_with


def snipping(cluster: InProcessCluster, scissors: Scissors) -> Dial:
    """Over memory, to the cluster's host."""
    host = cluster.host

    async def dial(receiver: Receiver, conversation: Conversation) -> Link:
        to_host, _ = memory.pair(
            scissors.receiver(receiver, "inward"),
            conversation,
            scissors.receiver(host, "outward"),
            host.conversation(),
        )
        return to_host

    return dial


async def dial_through(
    scissors: Scissors, address: Address, receiver: Receiver, conversation: Conversation
) -> Link:
    return await tcp.connect(address, scissors.receiver(receiver, "inward"), conversation)


@pytest.mark.parametrize("way", ["inward", "outward"])
@pytest.mark.parametrize("role", [Role.CLIENT, Role.BULK])
def test_a_cut_after_any_frame_costs_no_result(role: Role, way: str, cluster: Callable) -> None:
    async def main(here: InProcessCluster) -> None:
        for count in range(1 if role is Role.BULK or way == "outward" else 2, 200):
            scissors = Scissors(role, **{way: count})
            collector = Collector(snipping(here, scissors))
            try:
                assert await collector.run() == EXPECTED, count
            except ClusterLost:
                assert count == 1, "cut before it was welcomed for the first time"
            if not scissors.cuts:
                break
        else:
            pytest.fail("there is no end of frames")
        assert count >= FRAMES_MIN[role, way]

    cluster(main)


def test_acknowledgements_that_were_lost_are_no_fault(
    cluster: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host still keeps what the client has long counted as done, beside what is new."""
    monkeypatch.setattr(limits, "CREDIT_TASKS", 2 * BATCH)
    monkeypatch.setattr(limits, "CREDIT_TASKS_PER_WORKER", 0)

    async def main(here: InProcessCluster) -> None:
        for count in range(5, 20):
            scissors = Scissors(Role.CLIENT, outward=count, silent_s=0.01)
            assert await Collector(snipping(here, scissors)).run() == EXPECTED, count

    cluster(main)


@pytest.mark.parametrize("seed", range(3))
def test_any_number_of_cuts_costs_no_result(seed: int, cluster: Callable) -> None:
    chance = random.Random(seed)

    async def main(here: InProcessCluster) -> None:
        scissors = Scissors(Role.CLIENT, inward=6)
        collector = Collector(snipping(here, scissors))

        def notice(_text: str) -> None:
            if scissors.cuts < 12:
                scissors.left[chance.choice(["inward", "outward"])] = chance.randint(1, 9)

        collector.noticed = notice
        assert await collector.run() == EXPECTED
        assert scissors.cuts >= 2

    cluster(main)


def test_the_same_over_tcp(cluster: Callable) -> None:
    async def main(here: InProcessCluster) -> None:
        host = here.host
        for way, count in [("inward", 2), ("inward", 7), ("outward", 4), ("outward", 8)]:
            scissors = Scissors(Role.CLIENT, **{way: count})
            listener = await tcp.listen(
                Address("127.0.0.1", 0),
                lambda s=scissors: (s.receiver(host, "outward"), host.conversation()),
            )

            try:
                dial = functools.partial(dial_through, scissors, listener.address)
                assert await Collector(dial).run() == EXPECTED
                assert scissors.cuts == 1
            finally:
                listener.close()

    cluster(main)


def test_a_job_goes_on_beside_one_whose_client_is_cut(cluster: Callable) -> None:
    async def main(here: InProcessCluster) -> None:
        scissors = Scissors(Role.CLIENT, inward=5)
        cut = Collector(snipping(here, scissors))
        other = Collector(dial_within(here.host), shared=msgpack.packb("s"))
        results, others = await asyncio.gather(cut.run(), other.run())
        assert results == EXPECTED
        assert others == {index: 2 * index + 1 for index in range(TASKS)}
        assert other.notices == []

    cluster(main)
