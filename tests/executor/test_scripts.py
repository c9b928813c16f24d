"""Scripts of three functions in the loop, at a workplace of this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import psutil
import pytest

from midas_mp.config import JobOptions, TaskCount
from midas_mp.driver.job import Answer
from midas_mp.errors import ClusterLost, InternalError, ProcessLost, ScriptError
from midas_mp.executor.broken import BrokenCluster, ExecutorClosed
from midas_mp.executor.scripts import FAILURES_TOLD_MAX, ScriptPlan, Scripts, answer_value
from midas_mp.executor.workplace import WorkplaceSpec, open_workplace

SITE = WorkplaceSpec(workers=1)


class News:
    """Remembers what it is told."""

    def __init__(self):
        self.told = []
        self._changed = asyncio.Event()

    def __call__(self, news):
        self.told.append(news)
        self._changed.set()

    async def first(self):
        while not self.told:
            self._changed.clear()
            await self._changed.wait()

    @property
    def end(self):
        return self.told[-1]


@pytest.fixture
def prints():
    """What scripts print."""
    return []


@pytest.fixture
def run_with(run, tmp_path, prints):
    """Runs a coroutine function with scripts and a way to begin one of so many tasks."""

    def start(work):
        async def main():
            workplace = await open_workplace(SITE, lambda _: None)
            scripts = Scripts(workplace, SITE, lambda *print_: prints.append(print_))

            def begin(path, tasks=1, **options):
                news = News()
                said = JobOptions(tasks=TaskCount(tasks), **options)
                return scripts.begin(ScriptPlan(path, said, str(tmp_path)), news), news

            try:
                await work(scripts, begin)
                await scripts.wait_idle()
            finally:
                await workplace.close()

        run(main())

    return start


def test_the_last_that_is_told_is_the_answer(run_with, script):
    async def work(_, begin):
        task, news = begin(script(), tasks=5)
        await task
        *counts, answer = news.told
        assert answer == Answer("0,1,2,3,4", 0)
        assert counts == sorted(counts)
        assert counts[-1] == (5, 5)

    run_with(work)


def test_several_run_side_by_side_on_the_same_workers(run_with, script):
    async def work(_, begin):
        begun = [begin(script(name=f"{n}.lua"), tasks=n) for n in (1, 20, 3)]
        await asyncio.gather(*(task for task, _ in begun))
        assert [news.end.value.count(",") for _, news in begun] == [0, 19, 2]

    run_with(work)


def test_one_after_the_other_leaves_nothing(run_with, script, eventually):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    async def work(_, begin):
        path = script()
        await begin(path)[0]
        before = descriptors()
        for _ in range(5):
            await begin(path)[0]
        await eventually(lambda: descriptors() <= before)

    run_with(work)


def test_an_error_of_the_script_is_its_end(run_with, script):
    async def work(_, begin):
        path = script("local x = nil\nreturn x.y")
        task, news = begin(path)
        await task
        assert isinstance(news.end, ScriptError)
        assert (news.end.function, news.end.index) == ("execute_code", 0)
        assert news.end.excerpt == "4 | return x.y end"

    run_with(work)


@pytest.mark.parametrize("where", ["top", "generate", "interpret", "execute"])
def test_one_that_is_stopped_ends_wherever_it_is(run_with, script, where):
    async def work(_, begin):
        endless = "print('at it') while true do end"
        path = script(**({"top": endless} if where == "top" else {where: endless}))
        task, news = begin(path)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert news.told == []
        assert (await answer(begin, script())).value == "0"

    run_with(work)


async def answer(begin, path):
    task, news = begin(path)
    await task
    return news.end


def test_a_loss_ends_those_under_way_and_those_that_come_later(run_with, script):
    async def work(scripts, begin):
        path = script("while true do end", generate="if index == 1 then return {} end return index")
        task, news = begin(path, tasks=2)
        await asyncio.sleep(0)
        scripts.lose(ClusterLost("gone"))
        await task
        assert isinstance(news.end, BrokenCluster)
        assert str(await answer(begin, script())) == "gone"

    run_with(work)


def test_a_shutdown_is_no_loss(run_with, script):
    async def work(scripts, begin):
        task, news = begin(script("while true do end"))
        await asyncio.sleep(0)
        scripts.lose(ExecutorClosed("shut down"))
        await task
        assert isinstance(news.end, ExecutorClosed)

    run_with(work)


def test_a_script_process_that_dies_is_the_scripts_own_affair(run_with, script):
    async def work(scripts, begin):
        assert (await answer(begin, script())).value == "0"
        before = {*psutil.Process().children(recursive=True)}
        task, news = begin(script(interpret="while true do end"))
        await news.first()
        (process,) = {*psutil.Process().children(recursive=True)} - before
        os.kill(process.pid, signal.SIGKILL)
        await task
        assert isinstance(news.end, ProcessLost)
        assert not isinstance(news.end, BrokenCluster)
        assert (await answer(begin, script())).value == "0"

    run_with(work)


def test_failed_tasks_are_told_to_the_log_but_not_all_of_them(run_with, script, caplog):
    async def work(_, begin):
        path = script("error('no ' .. global_data.index)", interpret="return 'over'")
        task, news = begin(path, tasks=FAILURES_TOLD_MAX + 2, on_error="continue")
        await task
        assert news.end == Answer("over", FAILURES_TOLD_MAX + 2)

    with caplog.at_level(logging.WARNING, "midas_mp"):
        run_with(work)
    *failures, last = caplog.messages
    assert len(failures) == FAILURES_TOLD_MAX
    assert all("job.lua:3: no " in failure for failure in failures)
    assert last == "12 tasks of job.lua failed"


def test_prints_come_with_their_task(run_with, script, prints):
    async def work(_, begin):
        path = script("print('there')", generate="print('here')")
        await begin(path)[0]

    run_with(work)
    (here, (index, worker, text)) = prints
    assert here == (0, "", b"here")
    assert (index, text) == (0, b"there")
    assert worker.endswith("-000")


def test_a_bug_of_ours_is_told_as_one(run_with, script):
    async def work(scripts, _):
        told = []

        def broken(news):
            told.append(news)
            if len(told) == 1:
                raise KeyError("mine")

        plan = ScriptPlan(script(), JobOptions(), "")
        await scripts.begin(plan, broken)
        assert isinstance(told[-1], InternalError)
        assert isinstance(told[-1].__cause__, KeyError)

    run_with(work)


def test_raw_gives_text_as_bytes():
    assert answer_value(Answer("ä", 0), raw=True) == "ä".encode()
    assert answer_value(Answer(b"\xff", 0), raw=True) == b"\xff"
    assert answer_value(Answer("ä", 0), raw=False) == "ä"
    assert answer_value(Answer(None, 0), raw=True) is None
    assert answer_value(Answer(7, 0), raw=True) == 7
