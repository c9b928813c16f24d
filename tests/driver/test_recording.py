"""Jobs with a journal: a real script process, on an engine that the test plays."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from midas_mp.errors import ClusterLost, JournalFailed, JournalRefused, ScriptError
from midas_mp.journal.file import JournalFile
from midas_mp.journal.journal import Journal

LISTING = """
  local parts = {}
  for i = 1, results.n do parts[i] = tostring(results[i]) end
  for i, message in pairs(errors or {}) do parts[#parts + 1] = i .. ": " .. message end
  return table.concat(parts, " ")
"""


class Runs:
    """Runs of one script with one journal, one after the other."""

    def __init__(self, driver, new_engine, path):
        self._driver = driver
        self._new_engine = new_engine
        self.path = path
        self.view = None

    @contextlib.asynccontextmanager
    async def start(self, script, *, workers=2, **options):
        """The engine and the answer to come; what is not awaited is broken off."""
        async with self._driver() as d:
            self.view = d.view
            journal = await Journal.open(self.path)
            engine = self._new_engine(workers=workers)
            running = asyncio.create_task(d.run(script, engine, journal=journal, **options))
            try:
                yield engine, running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await journal.close()

    async def broken_off(self, script, *results, submitted, round_=0, **options):
        """Breaks off when so many tasks were submitted and these results recorded."""
        async with self.start(script, **options) as (engine, _):
            await engine.submitted(submitted, round_)
            before = len(engine.acknowledged)
            for result in results:
                engine.finish(result)
            await engine.until(lambda: len(engine.acknowledged) == before + len(results))

    async def end(self, script, *results, round_=0, **options):
        """Its answer, when just these tasks are asked for and answered."""
        async with self.start(script, **options) as (engine, running):
            if results:
                await engine.submitted(len(results), round_)
                assert sorted(engine.payloads) == sorted(index for index, _ in results)
                engine.finish(*results)
            answer = await running
            assert len(engine.orders) > 0 or not results
            return answer

    def recorded(self):
        with JournalFile(self.path, read_only=True) as file:
            file.verify()
            return file.summary


@pytest.fixture
def runs(driver, new_engine, tmp_path):
    return Runs(driver, new_engine, tmp_path / "run.journal")


def test_a_run_goes_on_where_it_was(run, runs, script):
    async def main():
        path = script(interpret=LISTING)
        await runs.broken_off(path, (3, "d"), (1, "b"), submitted=4, tasks=4)
        assert runs.recorded().rounds[0].done == 2
        answer = await runs.end(path, (0, "a"), (2, "c"), tasks=4)
        assert (answer.value, answer.failed) == ("a b c d", 0)
        assert runs.view.starts == [(0, 4, 2)]
        assert (runs.view.advances[0], runs.view.advances[-1]) == ((2, 0), (4, 0))
        assert [done for done, _ in runs.view.advances] == sorted(
            done for done, _ in runs.view.advances
        )
        assert runs.view.notices == [f"{runs.path}: 2 of 4 tasks are done"]
        assert runs.recorded().rounds[0].is_over

    run(main())


def test_a_complete_journal_gives_the_answer_without_workers(run, runs, script):
    async def main():
        path = script(interpret=LISTING)
        await runs.end(path, (0, "a"), (1, "b"), tasks=2)
        async with runs.start(path) as (engine, running):
            engine.can_start = False
            assert (await running).value == "a b"
            assert engine.orders == []

    run(main())


def test_count_and_seed_are_those_of_the_journal(run, runs, script):
    async def main():
        path = script(interpret="return midas.seed .. ' ' .. results.n")
        await runs.broken_off(path, (0, 1), submitted=5, workers=5, seed=9)
        answer = await runs.end(path, *((index, 1) for index in range(1, 5)), workers=2)
        assert answer.value == "9 5"

    run(main())


@pytest.mark.parametrize("said", [None, 4])
def test_a_number_of_tasks_is_kept_as_it_was_said(run, runs, script, said):
    """Also against the script's own config, and as the number that it came to."""

    async def main():
        path = script(top="config = { tasks = 2 }", interpret="return results.n")
        await runs.broken_off(path, (0, 1), submitted=4, tasks=4)
        answer = await runs.end(path, (1, 1), (2, 1), (3, 1), tasks=said)
        assert answer.value == 4

    run(main())


def test_on_result_sees_all_results_in_the_order_of_their_first_arrival(run, runs, script):
    async def main():
        path = script(
            top="seen = {} function on_result(index, result) seen[#seen + 1] = result end",
            interpret="return table.concat(seen, ' ')",
        )
        await runs.broken_off(path, (4, "e"), (0, "a"), (2, "c"), submitted=5, tasks=5)
        await runs.broken_off(path, (3, "d"), submitted=2)
        assert (await runs.end(path, (1, "b"))).value == "e a c d b"
        assert (await runs.end(path)).value == "e a c d b"

    run(main())


def test_what_generate_data_sets_or_reads_in_order_is_as_in_one_run(run, runs, script, tmp_path):
    (tmp_path / "lines").write_text("a\nb\nc\n")

    async def main():
        path = script(
            top="names = {}",
            generate=f"file = file or io.open('{tmp_path}/lines') "
            "names[index + 1] = file:read() return { names[index + 1] }",
            interpret="return table.concat(names) .. table.concat(results)",
        )
        await runs.broken_off(path, (1, 2), submitted=3, tasks=3)
        async with runs.start(path) as (engine, running):
            await engine.submitted(2)
            assert engine.payloads == {0: ["a"], 2: ["c"]}
            engine.finish((0, 1), (2, 3))
            assert (await running).value == "abc123"

    run(main())


def test_other_data_for_a_finished_task_are_refused(run, runs, script, tmp_path):
    (tmp_path / "input").write_text("old")

    async def main():
        path = script(generate=f"return {{ io.open('{tmp_path}/input'):read(), index }}")
        await runs.broken_off(path, (2, 1), submitted=3, tasks=3)
        (tmp_path / "input").write_text("new")
        with pytest.raises(JournalRefused, match="task 2 other data than when the journal"):
            await runs.end(path)
        (tmp_path / "input").unlink()
        with pytest.raises(JournalRefused, match="task 2 other data"):
            async with runs.start(path, on_error="continue") as (_, running):
                await running

    run(main())


def test_equal_tables_are_the_same_data_in_every_process(run, runs, script):
    fields = ", ".join(f"{name} = {{ x = 1, y = 2 }}" for name in "abcdefghijklmnop")

    async def main():
        path = script(generate=f"return {{ {fields} }}")
        await runs.broken_off(path, (0, 1), submitted=2, tasks=2)
        await runs.broken_off(path, submitted=1)

    run(main())


# -- rounds --------------------------------------------------------------------------------------

ROUNDS = """
function generate_shared_data() return { round = midas.round, total = total } end
function next_round(round)
  total = (total or 0)
  for i = 1, results.n do total = total + (results[i] or 0) end
  return round < 2
end
"""


def test_rounds_that_are_done_are_gone_through_again(run, runs, script):
    async def main():
        path = script(top=ROUNDS, interpret="return total")
        async with runs.start(path, tasks=2) as (engine, _):
            for number, values in enumerate([(1, 2), (10, 20)]):
                await engine.submitted(2, number)
                engine.finish(*enumerate(values[: 2 - number]))
            await engine.until(lambda: len(engine.acknowledged) == 3)
        assert [each.done for each in runs.recorded().rounds] == [2, 1]
        async with runs.start(path) as (engine, running):
            await engine.submitted(1, 1)
            assert engine.payloads == {1: {"index": 1}}
            engine.finish((1, 20))
            await engine.submitted(2, 2)
            engine.finish((0, 100), (1, 200))
            assert (await running).value == 333
            assert [number for number, _ in engine.shared] == [1, 2], "where there are tasks"
            assert engine.shared[-1] == (2, {"round": 2, "total": 33})
        assert runs.view.notices == [
            f"{runs.path}: 1 round, and 1 of 2 tasks of the next, are done"
        ]
        assert (await runs.end(path)).value == 333

    run(main())


def test_other_shared_data_are_refused(run, runs, script, tmp_path):
    (tmp_path / "input").write_text("old")

    async def main():
        path = script(
            top=f"function generate_shared_data() return io.open('{tmp_path}/input'):read() end"
        )
        await runs.broken_off(path, (0, 1), submitted=2, tasks=2)
        (tmp_path / "input").write_text("new")
        with pytest.raises(JournalRefused, match="generate_shared_data gives other data in round"):
            await runs.end(path)

    run(main())


def test_fewer_rounds_than_before_are_refused(run, runs, script, tmp_path):
    (tmp_path / "more").touch()

    async def main():
        path = script(
            top=f"function next_round() return io.open('{tmp_path}/more') ~= nil end",
        )
        await runs.broken_off(path, (0, 1), submitted=1, tasks=1)
        async with runs.start(path) as (engine, _):
            await engine.submitted(1, 1)
            engine.finish((0, 1))
            await engine.submitted(1, 2)
        (tmp_path / "more").unlink()
        with pytest.raises(JournalRefused, match="next_round ends the job after round 0, but"):
            await runs.end(path)

    run(main())


# -- failures ------------------------------------------------------------------------------------


def test_errors_of_the_script_are_recorded_where_the_job_goes_on(run, runs, script):
    async def main():
        path = script(interpret=LISTING)
        async with runs.start(path, tasks=5, on_error="continue") as (engine, _):
            await engine.submitted(5)
            engine.fail(0, "oops")
            for index, kind in ((1, "lost"), (2, "timeout"), (3, "memory")):
                engine.fail(index, "…", kind)
            engine.finish((4, "e"))
            await engine.until(lambda: len(engine.acknowledged) == 5)
        only = runs.recorded().rounds[0]
        assert (only.done, only.failed) == (2, 1)
        answer = await runs.end(path, (1, "b"), (2, "c"), (3, "d"), on_error="continue")
        assert (answer.value, answer.failed) == ("nil b c d e 1: oops", 1)
        assert [(e.index, e.message, e.worker) for e in runs.view.failures] == [
            (0, "oops", "lab-000")
        ]
        with pytest.raises(ScriptError, match="oops"):
            await runs.end(path)

    run(main())


def test_what_another_round_builds_on_is_not_tried_again(run, runs, script):
    async def main():
        path = script(top=ROUNDS, interpret="return total")
        async with runs.start(path, tasks=3, on_error="continue") as (engine, _):
            await engine.submitted(3)
            engine.finish((0, 1))
            engine.fail(1, "…", "timeout")
            engine.fail(2, "…", "lost")
            await engine.submitted(3, 1)
            engine.finish((0, 10), (1, 20))
            engine.fail(2, "…", "memory")
            await engine.until(lambda: len(engine.acknowledged) == 6)
        first, second = runs.recorded().rounds
        assert (first.done, first.failed, first.is_over) == (3, 2, True)
        assert (second.done, second.failed, second.is_over) == (2, 0, False)
        async with runs.start(path, on_error="continue") as (engine, running):
            await engine.submitted(1, 1)
            assert engine.payloads == {2: {"index": 2}}, "only of the last round"
            engine.finish((2, 30))
            await engine.submitted(3, 2)
            engine.finish((0, 100), (1, 200), (2, 300))
            answer = await running
        assert (answer.value, answer.failed) == (661, 2)
        assert (await runs.end(path, on_error="continue")).value == 661

    run(main())


def test_a_task_that_another_round_went_without_stays_away(run, runs, script, tmp_path):
    """What generate_data failed at then, it must fail at again."""

    async def main():
        path = script(
            generate=f"if index == 1 then assert(io.open('{tmp_path}/1')) end return index",
            top="function next_round(round) return round < 1 end",
            interpret="return results[1] .. ' ' .. tostring(results[2])",
        )
        async with runs.start(path, tasks=2, on_error="continue") as (engine, _):
            await engine.submitted(1)
            engine.finish((0, "a"))
            await engine.submitted(1, 1)
        assert [each.is_over for each in runs.recorded().rounds] == [True, False]
        answer = await runs.end(path, (0, "b"), round_=1, on_error="continue")
        assert (answer.value, answer.failed) == ("b nil", 2)
        (tmp_path / "1").touch()
        with pytest.raises(JournalRefused, match="generate_data gives task 1 other data"):
            await runs.end(path, on_error="continue")

    run(main())


def test_the_error_that_stops_a_job_is_tried_again(run, runs, script):
    """All that was there before it is kept."""

    async def main():
        path = script(interpret=LISTING)
        async with runs.start(path, tasks=2) as (engine, running):
            await engine.submitted(2)
            engine.finish((1, "b"))
            engine.fail(0, "oops")
            with pytest.raises(ScriptError, match="oops"):
                await running
        assert (await runs.end(path, (0, "a"))).value == "a b"

    run(main())


def test_what_generate_data_failed_at_is_tried_again(run, runs, script, tmp_path):
    async def main():
        path = script(
            generate=f"if index == 1 then assert(io.open('{tmp_path}/1')) end return index",
            interpret="return results.n .. ' ' .. tostring(results[2])",
        )
        answer = await runs.end(path, (0, "a"), tasks=2, on_error="continue")
        assert (answer.value, answer.failed) == ("2 nil", 1)
        assert runs.recorded().rounds[0].done == 1
        (tmp_path / "1").touch()
        assert (await runs.end(path, (1, "b"))).value == "2 b"

    run(main())


def test_an_on_result_that_fails_is_called_again(run, runs, script):
    async def main():
        path = script(
            top="function on_result(_, result) assert(result ~= 'bad') return result end",
            interpret=LISTING,
        )
        for results in ([(0, "bad"), (1, "b")], []):
            answer = await runs.end(path, *results, tasks=2, on_error="continue")
            assert answer.failed == 1
            assert answer.value.startswith("nil b 1: ")

    run(main())


def test_what_is_no_failure_is_not_recorded(run, runs, script, new_engine):
    async def main():
        path = script()
        async with runs.start(path, tasks=1, on_error="continue") as (engine, running):
            await engine.submitted(1)
            engine.fail_with(0, b"\xc1")
            assert (await running).failed == 1
        assert runs.recorded().rounds[0].done == 0

    run(main())


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"seed": 4}, "it is of seed 3, not of 4"),
        ({"tasks": 3}, "it is of --tasks 2, not of 3"),
        ({"arg": ("y",)}, "it is of the arguments --arg n=1 x, not of --arg n=1 y"),
        ({"arg_named": {}}, "it is of the arguments --arg n=1 x, not of x"),
        ({"engine": "lua5.4"}, "it is of Lua luajit, not of lua5.4"),
    ],
)
def test_a_journal_of_another_job_is_refused_with_what_differs(run, runs, script, options, reason):
    async def main():
        path = script()
        first = {"arg": ("x",), "arg_named": {"n": "1"}}
        await runs.broken_off(path, (0, 1), submitted=2, tasks=2, seed=3, **first)
        with pytest.raises(JournalRefused) as refused:
            await runs.end(path, **(first | options))
        assert reason in str(refused.value)
        assert runs.recorded().rounds[0].done == 1, "it stays as it is"

    run(main())


def test_a_journal_of_one_task_for_each_worker_is_not_of_others(run, runs, script):
    async def main():
        await runs.broken_off(script(), submitted=2)
        with pytest.raises(JournalRefused, match="of --tasks one for each worker, not of 4"):
            await runs.end(script(), tasks=4)

    run(main())


def test_a_journal_of_another_script_is_refused(run, runs, script, tmp_path):
    async def main():
        await runs.broken_off(script(top='pcall(function() require "shape" end)'), submitted=2)
        other = script(name="other.lua")
        with pytest.raises(JournalRefused, match=r"it is of job\.lua, not of other\.lua: say"):
            await runs.end(other)
        (tmp_path / "shape.lua").write_text("return 1")
        with pytest.raises(JournalRefused, match=r"job\.lua, or a module of it, has been changed"):
            await runs.end(tmp_path / "job.lua")

    run(main())


def test_a_journal_that_cannot_be_written_ends_the_job(run, runs, script):
    async def main():
        async with runs.start(script(), tasks=2) as (engine, running):
            await engine.submitted(2)
            journal = engine._observer._recording._journal
            journal._file._database.execute("PRAGMA max_page_count = 3")
            engine.finish((0, "x" * 9_000))
            with pytest.raises(JournalFailed, match="no room left"):
                await running
            assert engine.acknowledged == [], "what is not recorded does not count"

    run(main())


def test_many_large_results_are_taken_from_it_a_few_at_a_time(run, runs, script):
    """A journal may be larger than memory."""

    async def main():
        path = script(
            interpret="local n = 0 for i = 1, #results do n = n + #results[i] end return n"
        )
        mb = "x" * 2**20
        async with runs.start(path, tasks=30) as (engine, _):
            await engine.submitted(30)
            for index in range(29):
                engine.finish((index, mb))
            await engine.until(lambda: len(engine.acknowledged) == 29)
        assert (await runs.end(path, (29, mb))).value == 30 * 2**20

    run(main())


def test_a_cluster_that_is_lost_loses_no_result(run, runs, script):
    async def main():
        path = script(interpret=LISTING)
        async with runs.start(path, tasks=2) as (engine, running):
            await engine.submitted(2)
            engine.finish((0, "a"))
            engine.lose(ClusterLost("gone"))
            with pytest.raises(ClusterLost):
                await running
        assert (await runs.end(path, (1, "b"))).value == "a b"

    run(main())
