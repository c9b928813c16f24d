"""What reaches a process, and what becomes of that which cannot."""

from __future__ import annotations

from collections.abc import Callable

from midas_mp import limits
from midas_mp.wire.messages import Call, EndJob, RunTasks, WorkerDown, WorkerUp

ECHO = "function execute_code() return global_data end"


def test_what_cannot_be_sent_to_a_process_fails_with_the_reason_and_the_node_stays(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(ECHO, job="bad", arg=["\udcff"])
            host.submit(1, {0: "a", 1: "b"}, job="bad")
            host.begin(ECHO, job="good")
            host.submit(1, {2: "c"}, job="good")
            done = await host.results(1)
            status, failure = done[0]
            assert status == "FAILED"
            assert failure["kind"] == "unsendable"
            assert "cannot be sent to a worker: BeginJob: " in failure["message"]
            (down,) = await host.hear(WorkerDown)
            assert down.running is None, "nobody is to blame"
            host.say(EndJob("bad"))
            await host.hear(WorkerUp, 2)
            host.submit(1, {2: "c"}, job="good")
            assert (await host.results(2))[2] == ("OK", "c")
            assert host.losses == []

    run(main())


def test_only_what_cannot_be_sent_fails(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(ECHO) as (n, host):
            index = await n.measure_short_tasks(host)
            host.submit(1, {index: "good"})
            calls = [Call(index + 1, 0, limits.BUFFERS_MAX + 1)]
            order = RunTasks("job", 0, 9, host._bundle.digest, "execute_code", calls)
            host.say(order, [b"\xc0"] * (limits.BUFFERS_MAX + 1), channel=1)
            await host.hear(WorkerUp, 2)
            status, failure = host.outcomes()[index + 1]
            assert (status, failure["kind"]) == ("FAILED", "unsendable")
            assert "over the limit" in failure["message"]
            if index not in host.outcomes():  # its process went before it was done
                host.submit(1, {index: "good"})
            assert (await host.results(index + 2))[index] == ("OK", "good")

    run(main())
