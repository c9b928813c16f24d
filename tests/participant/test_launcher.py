"""A launcher at a host that the test plays over a memory link; its workers are real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

import psutil
import pytest

from midas_mp import limits
from midas_mp.errors import ClusterLost, ConnectionLost, PeerRefused, ProtocolError
from midas_mp.lua.bundle import Bundle
from midas_mp.participant import seat
from midas_mp.participant.launcher import Undone
from midas_mp.transport import memory
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    DropBundles,
    EndJob,
    Goodbye,
    Hello,
    NodeLeaving,
    Outcome,
    RecallTasks,
    Refused,
    Role,
    Status,
    TaskPrinted,
    TaskRef,
    TaskResults,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerUp,
)

MB = 2**20

ECHO = "function execute_code() return global_data end"

BY_NAME = """
local acts = {
  echo = function(x) return x end,
  say = function(x) print(x) return x end,
  loop = function() print("looping") while true do end end,
}
function execute_code()
  local name, x = global_data[1], global_data[2]
  return acts[name](x)
end
"""


def channels(host, kind) -> list[int]:
    return [frame.channel for frame in host.frames if isinstance(frame.message, kind)]


# -- the end of a job ----------------------------------------------------------------------------


def test_the_end_of_a_job_returns_the_queue_and_kills_what_runs(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME, workers=2) as (_, host):
            host.submit(1, {0: ["loop"], 1: ["echo"], 2: ["echo"]})
            await host.printed(b"looping")
            host.say(EndJob("job"))
            (returned,) = await host.hear(TasksReturned)
            (down,) = await host.hear(WorkerDown)
            assert [ref.index for ref in returned.tasks] == [1, 2]
            assert (down.channel, down.running) == (1, None)
            await host.hear(WorkerUp, 3)
            assert channels(host, TasksReturned) == [1], "the idle one held nothing"
            host.begin(ECHO, job="next")
            host.submit(1, {0: "x"}, job="next")
            host.submit(2, {1: "y"}, job="next")
            assert await host.results(2) == {0: ("OK", "x"), 1: ("OK", "y")}

    run(main())


def test_the_end_of_a_job_spares_a_worker_that_runs_another(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(ECHO, job="first")
            host.begin(ECHO, job="second")
            host.submit(1, {0: 0}, job="first")
            await host.results(1)
            host.submit(1, {1: 1}, job="second")
            host.say(EndJob("first"))
            assert (await host.results(2))[1] == ("OK", 1)
            assert host.heard(WorkerDown) == []

    run(main())


def test_a_job_may_come_again_under_the_same_id(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            for index in range(5):
                host.begin(f"function execute_code() return {index} end")
                host.submit(1, {index: None})
                assert (await host.results(index + 1))[index] == ("OK", index)
                host.say(EndJob("job"))
            assert host.heard(WorkerDown) == []

    run(main())


# -- bundles -------------------------------------------------------------------------------------


def test_what_is_queued_with_a_dropped_bundle_goes_back_and_the_bundle_may_come_again(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {0: ["loop"], 1: ["echo"]})
            await host.printed(b"looping")
            host.begin(ECHO)
            host.submit(1, {2: "x"})
            host.say(
                DropBundles("job", [Bundle.from_sources("job.lua", [], [BY_NAME.encode()]).digest])
            )
            host.say(DropBundles("nobody's", ["0" * 64]))
            (returned,) = await host.hear(TasksReturned)
            assert returned.tasks == [TaskRef("job", 0, 1)]
            n.worker().kill()
            await host.hear(WorkerUp, 2)
            host.begin(BY_NAME)
            host.submit(1, {1: ["echo", "again"]})
            assert await host.results(1) == {1: ("OK", "again")}

    run(main())


def test_a_host_that_is_lost_leaves_no_bundle_behind(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["echo", "still here"]})
            await away.lose()
            assert [job.bundles for job in n.launcher._jobs.values()] == [{}]
            away.process.resume()
            second = n.meet()
            await second.welcome(epoch=1)
            assert await second.results(1) == {0: ("OK", "still here")}
            second.begin(BY_NAME)
            second.submit(1, {1: ["echo", "next"]})
            assert (await second.results(2))[1] == ("OK", "next")

    run(main())


# -- without a host ------------------------------------------------------------------------------


class Away:
    """A worker that is stopped with tasks in its hands, at a host that is then lost."""

    def __init__(self, n, host) -> None:
        self.host = host
        self.process = n.worker()
        self._launcher = n.launcher

    @classmethod
    async def of(cls, n, tasks: dict[int, object], **spec: object) -> Self:
        """The first task, or the first frame of them, is in the worker's hands when it returns."""
        host = n.meet()
        await host.welcome()
        host.begin(BY_NAME, **spec)
        away = cls(n, host)
        away.process.suspend()
        host.submit(1, tasks)
        await away.until(lambda: n.launcher.held_count > 0)
        return away

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)

    async def lose(self) -> None:
        self.host.link.abort()
        await self.host.lost

    async def finish(self) -> None:
        """Lets the worker go on until it has nothing in its hands."""
        self.process.resume()
        await self.until(lambda: self._launcher.held_count == 0)


def test_what_is_in_hand_goes_on_and_is_delivered_once(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node(workers=2) as n:
            away = await Away.of(n, {0: ["say", "so far"]})
            pids = [n.worker(name).pid for name in ("laptop-000", "laptop-001")]
            await away.lose()
            await away.finish()
            second = n.meet()
            ups = await second.welcome(epoch=1)
            assert [(up.channel, up.epoch, up.held) for up in ups] == [(1, 0, []), (2, 0, [])]
            assert await second.results(1) == {0: ("OK", "so far")}
            assert [type(frame.message) for frame in second.frames[-2:]] == [
                TaskPrinted,
                TaskResults,
            ]
            assert n.announced[-1] == "back at the host as laptop, 2 workers; delivered 1 result"
            assert [n.worker(name).pid for name in ("laptop-000", "laptop-001")] == pids
            second.link.abort()
            third = n.meet()
            await third.welcome(epoch=2)
            third.begin(ECHO)
            third.submit(1, {1: "new"})
            assert await third.results(1) == {1: ("OK", "new")}, "and nothing twice"

    run(main())


def test_what_is_still_in_hand_is_said_and_what_was_queued_is_dropped(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {7: ["echo", 7], 8: ["echo", 8], 9: ["echo", 9]})
            await away.lose()
            second = n.meet()
            (up,) = await second.welcome(epoch=1)
            assert up.held == [TaskRef("job", 0, 7)]
            second.say(RecallTasks(9), channel=1)
            assert (await second.hear(TasksReturned))[0].tasks == []
            # the job begins again for the host, and goes on for the process
            second.begin(BY_NAME)
            second.submit(1, {9: ["echo", 9]})
            away.process.resume()
            assert await second.results(2) == {7: ("OK", 7), 9: ("OK", 9)}
            assert second.heard(WorkerDown) == []

    run(main())


def test_results_are_kept_through_any_number_of_losses(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["echo", 0]})
            await away.lose()
            await away.finish()
            for _ in range(3):
                silent = n.meet()
                await silent.hear(Hello)
                silent.link.abort()
                await silent.lost
            last = n.meet()
            await last.welcome(epoch=1)
            assert await last.results(1) == {0: ("OK", 0)}

    run(main())


def test_what_comes_while_the_end_is_not_known_yet_is_kept(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["echo", 0]})
            n.launcher._uplink.link.abort()  # link_lost comes in a turn of its own
            outcome = Outcome(0, 0, Status.OK, 1)
            results = TaskResults("job", 0, "", [outcome])
            crew = n.launcher._crew
            crew.process_frames(crew.processes[0], [Frame(0, results, [b"\xc0"])])
            await away.host.lost
            second = n.meet()
            await second.welcome(epoch=1)
            assert await second.results(1) == {0: ("OK", None)}

    run(main())


def test_a_link_that_was_lost_before_the_greeting_is_told(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            to_host, _ = memory.pair(
                n.launcher,
                Conversation(Role.LAUNCHER, Role.HOST),
                n.bulk,
                Conversation(Role.HOST, None),
            )
            to_host.abort()
            await asyncio.sleep(0)
            assert isinstance(await n.launcher.greet(to_host), ConnectionLost)
            await n.meet().welcome()

    run(main())


@pytest.mark.parametrize(
    ("job", "fitting"), [("job", 512), ("j" * 100, 470), ("\u00e4" * 128, 206)]
)
def test_however_much_is_held_as_much_is_said_as_fits(
    job: str, fitting: int, run: Callable, node: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # any measured task is short enough for two whole frames in hand
    monkeypatch.setattr(seat, "FRAME_TIME_US_MAX", 1e12)
    monkeypatch.setattr(seat, "FRAME_TIME_TARGET_US", 1e12)
    monkeypatch.setattr(seat, "WAITING_TASK_US_MAX", 1e12)

    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(ECHO, job=job)
            host.submit(1, {0: 0}, job=job)
            await host.results(1)
            n.worker().suspend()
            host.submit(1, dict.fromkeys(range(1, 257)), job=job)
            host.submit(1, dict.fromkeys(range(257, 513)), job=job)
            await Away(n, host).until(lambda: n.launcher.held_count == 512)
            host.link.abort()
            second = n.meet()
            (up,) = await second.welcome(epoch=1)
            assert up.held == [TaskRef(job, 0, index) for index in range(1, 1 + fitting)]
            assert encode(Frame(0, up))
            n.worker().resume()
            await second.results(512)

    run(main())


def test_a_host_that_says_goodbye_misses_nothing(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["say", "bye"]})
            away.host.say(Goodbye("restarting"))
            assert isinstance(await away.host.lost, ClusterLost)
            await away.finish()
            assert away.host.heard(TaskResults) == []
            second = n.meet()
            await second.welcome(epoch=1)
            assert await second.results(1) == {0: ("OK", "bye")}

    run(main())


def test_deadlines_hold_without_a_host(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {4: ["loop"]}, timeout_s=0.2)
            await away.lose()
            away.process.resume()
            await away.until(lambda: n.launcher._crew._seats[1].epoch == 1)
            second = n.meet()
            (up,) = await second.welcome(epoch=1)
            status, failure = (await second.results(1))[4]
            assert (status, failure["kind"]) == ("FAILED", "timeout")
            assert (up.epoch, up.held) == (1, [])
            assert second.heard(WorkerDown) == []
            kinds = [type(frame.message) for frame in second.frames]
            assert kinds.index(WorkerUp) < kinds.index(TaskResults)

    run(main())


def test_nothing_is_told_of_a_worker_that_died_without_a_host(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["loop"]})
            await away.lose()
            away.process.kill()
            await away.until(lambda: n.launcher._crew._seats[1].epoch == 1)
            second = n.meet()
            (up,) = await second.welcome(epoch=1)
            assert (up.epoch, up.held) == (1, [])
            second.begin(ECHO)
            second.submit(1, {0: "again"})
            assert await second.results(1) == {0: ("OK", "again")}
            assert second.heard(WorkerDown) == []

    run(main())


def test_the_next_host_may_end_a_job_that_went_on(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["loop"]})
            await away.lose()
            away.process.resume()
            second = n.meet()
            await second.welcome(epoch=1)
            second.say(EndJob("job"))
            (down,) = await second.hear(WorkerDown)
            assert (down.epoch, down.running) == (0, None)
            ups = await second.hear(WorkerUp, 2)
            assert (ups[1].epoch, ups[1].held) == (1, [])
            assert n.launcher._jobs == {}

    run(main())


def test_the_end_of_a_job_drops_what_was_kept_of_it(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["say", "unheard"]})
            await away.lose()
            await away.finish()
            # killed, and not buried before the job is over: what was kept waits for the next one
            zygote = psutil.Process(n.zygote.pid)
            zygote.suspend()
            n.launcher._crew.processes[0].kill()
            second = n.meet()
            await second.hear(Hello)
            second.say(Welcome(PROTOCOL_VERSION, "0", "laptop", 0))
            second.say(EndJob("job"))
            await away.until(lambda: n.launcher.name and not n.launcher._jobs)
            zygote.resume()
            await second.hear(WorkerUp)
            second.begin(ECHO)
            second.submit(1, {1: None})
            assert await second.results(1) == {1: ("OK", None)}
            assert second.heard(TaskPrinted) == []

    run(main())


def test_a_lost_host_s_jobs_without_work_are_forgotten(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(ECHO) as (n, host):
            host.submit(1, {0: 0})
            await host.results(1)
            host.link.abort()
            await host.lost
            assert n.launcher._jobs == {}
            second = n.meet()
            await second.welcome(epoch=1)
            second.begin("function execute_code() return 'another script' end")
            second.submit(1, {0: 0})
            assert await second.results(1) == {0: ("OK", "another script")}

    run(main())


def test_a_job_whose_work_ended_without_a_host_is_forgotten_on_return(
    run: Callable, node: Callable
) -> None:
    """Else a host that never heard of it would leave it here for ever."""

    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["echo", 0]})
            await away.lose()
            await away.finish()
            assert list(n.launcher._jobs) == ["job"]
            second = n.meet()
            await second.welcome(epoch=0)
            await second.results(1)
            assert n.launcher._jobs == {}
            assert n.launcher._crew._seats[1].known == {}

    run(main())


def test_a_connection_may_break_while_workers_register(
    run: Callable, node: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with node(workers=3) as n:
            host = n.meet()
            await host.hear(Hello)
            host.say(Welcome(PROTOCOL_VERSION, "0", "laptop", 0))
            await host.hear(WorkerUp)
            host.link.abort()
            await host.lost
            ups = await n.meet().welcome(epoch=1)
            assert sorted(up.channel for up in ups) == [1, 2, 3]
            assert {up.epoch for up in ups} == {0}

    run(main())


def test_workers_that_start_while_no_host_is_there_say_nothing_too_early(
    run: Callable, node: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with node(workers=2) as n:
            host = n.meet()
            await host.welcome()
            seats = n.launcher._crew._seats
            host.link.abort()
            await host.lost
            n.worker("laptop-000").kill()
            await eventually(lambda: seats[1].epoch == 1)
            second = n.meet()
            await second.hear(Hello)
            # the next process is ready, and one more has died, before the host has answered
            await eventually(lambda: seats[1].ready is not None)
            n.worker("laptop-001").kill()
            await eventually(lambda: seats[2].epoch == 1 and seats[2].ready is not None)
            ups = await second.welcome(epoch=1)
            assert {up.channel: up.epoch for up in ups} == {1: 1, 2: 1}
            assert second.heard(WorkerDown) == []

    run(main())


def test_work_goes_on_under_another_name(run: Callable, node: Callable) -> None:
    """Somebody took the name while this node was away, and nobody typed it here."""

    async def main() -> None:
        async with node(workers=2) as n:
            away = await Away.of(n, {0: ["say", "still here"]})
            pids = [n.worker(name).pid for name in ("laptop-000", "laptop-001")]
            await away.lose()
            second = n.meet()
            (hello,) = await second.hear(Hello)
            assert not hello.name_is_explicit, "nobody typed it"
            ups = await second.welcome("laptop-2", epoch=1)
            assert [(up.name, up.epoch, up.held) for up in ups] == [
                ("laptop-2-000", 0, [TaskRef("job", 0, 0)]),
                ("laptop-2-001", 0, []),
            ]
            away.process.resume()
            assert await second.results(1) == {0: ("OK", "still here")}
            assert second.heard(TaskPrinted)[0].worker == "laptop-2-000"
            assert [n.worker(name).pid for name in ("laptop-000", "laptop-001")] == pids
            n.worker("laptop-000").kill()
            await second.hear(WorkerUp, 3)
            second.begin("function execute_code() return midas.worker end", job="next")
            second.submit(1, {1: None}, job="next")
            assert (await second.results(2))[1] == ("OK", "laptop-2-000"), "a new process"

    run(main())


def test_a_host_that_leaves_or_refuses_says_why(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.say(Goodbye("the host is stopping"))
            error = await host.lost
            assert isinstance(error, ClusterLost)
            assert str(error) == "the host is stopping"
            second = n.meet()
            await second.hear(Hello)
            second.say(Refused("name_taken", "choose another --name"))
            error = await second.lost
            assert isinstance(error, PeerRefused)
            assert (error.refusal, error.reason) == ("name_taken", "choose another --name")

    run(main())


@pytest.mark.parametrize("code", ["fault", "replaced", "sandbox", "killed"])
def test_a_host_that_wants_no_more_of_this_node_is_believed(
    code: str, run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.say(Goodbye("enough of you", code))
            error = await host.lost  # who said goodbye need not hang up
            assert isinstance(error, PeerRefused)
            assert (error.refusal, str(error)) == (code, "enough of you")

    run(main())


def test_leaving_says_goodbye_and_starts_nothing_more(
    run: Callable, node: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            n.launcher.leave("enough")
            (goodbye,) = await host.hear(Goodbye)
            assert goodbye.reason == "enough"
            await host.until(lambda: bool(host.losses))
            n.worker().kill()
            await eventually(lambda: n.launcher._crew._seats[1].process is None)
            assert n.supervisor._processes == {}

    run(main())


def test_who_has_results_for_a_host_is_not_idle_until_nobody_wants_them(
    run: Callable, node: Callable, eventually: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with node() as n:
            away = await Away.of(n, {0: ["echo", 0]})
            await away.lose()
            await away.finish()
            loop = asyncio.get_running_loop()
            await eventually(lambda: loop.time() > n.launcher._crew.last_work_s)
            assert n.launcher.idle_s == 0
            monkeypatch.setattr(limits, "CLIENT_PATIENCE_S", 0.0)
            assert n.launcher.idle_s > 0
            kept_s = n.launcher._crew.last_work_s
            second = n.meet()
            await second.welcome(epoch=1)
            await second.results(1)
            assert n.launcher._crew.last_work_s > kept_s, "the host may have more"
            await eventually(lambda: n.launcher.idle_s)

    run(main())


# -- peers that break the rules ------------------------------------------------------------------


@pytest.mark.parametrize("offence", ["no such channel", "no bundle"])
def test_a_host_that_breaks_the_rules_is_left(offence: str, run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            if offence == "no bundle":
                host.begin(ECHO)
                host.submit(1, {0: 0}, job="unheard-of")
            else:
                host.say(RecallTasks(1), channel=9)
            error = await host.lost
            assert isinstance(error, ProtocolError)

    run(main())


# -- leaving -------------------------------------------------------------------------------------

WAIT_OR_ECHO = """
function execute_code()
  if global_data ~= "wait" then return global_data end
  print("running")
  local ends = os.clock() + 0.3
  while os.clock() < ends do end
  return "waited"
end
"""


def test_a_node_that_leaves_finishes_what_runs_and_hands_back_the_rest(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(WAIT_OR_ECHO, workers=2) as (n, host):
            host.submit(1, {0: "wait", 1: "x", 2: "x"})
            await host.printed(b"running")
            draining = asyncio.create_task(n.launcher.drain("update", 20))
            (leaving,) = await host.hear(NodeLeaving)
            assert leaving == NodeLeaving("update", 20)
            host.submit(2, {7: "crossed the news"})
            assert await draining == Undone(0, 0)
            assert host.outcomes() == {0: ("OK", "waited")}
            returned = {ref.index for back in host.heard(TasksReturned) for ref in back.tasks}
            assert returned == {1, 2, 7}
            kinds = [type(frame.message) for frame in host.frames]
            assert kinds.index(NodeLeaving) < kinds.index(TasksReturned)
            assert host.heard(WorkerDown) == []

    run(main())


def test_a_node_that_leaves_waits_no_longer_than_its_grace(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {0: ["loop"]})
            await host.printed(b"looping")
            assert await n.launcher.drain("update", 0.1) == Undone(1, 0)

    run(main())


def test_a_worker_that_dies_while_its_node_leaves_is_not_replaced(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {0: ["loop"]})
            await host.printed(b"looping")
            draining = asyncio.create_task(n.launcher.drain("update", 20))
            await host.hear(NodeLeaving)
            n.worker().kill()
            assert await draining == Undone(0, 0)
            (down,) = host.heard(WorkerDown)
            assert down.running == TaskRef("job", 0, 0)
            assert len(host.heard(WorkerUp)) == 1

    run(main())


def test_a_node_that_loses_its_host_while_it_leaves_brings_the_next_what_it_finished(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(WAIT_OR_ECHO, workers=2) as (n, host):
            host.submit(1, {0: "wait"})
            await host.printed(b"running")
            draining = asyncio.create_task(n.launcher.drain("update", 20))
            await host.hear(NodeLeaving)
            host.link.abort()
            await host.lost
            n.worker("laptop-001").kill()
            second = n.meet()
            await second.hear(Hello)
            second.say(Welcome(PROTOCOL_VERSION, "0", "laptop", 1))
            await second.hear(NodeLeaving)
            assert await draining == Undone(0, 0)
            await second.results(1)
            assert second.outcomes() == {0: ("OK", "waited")}

    run(main())
