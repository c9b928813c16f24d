"""``midas run``: on this machine, and at a standing host."""

from __future__ import annotations

import signal

import psutil
import pytest

SPIN = "while true do end"
SPIN_FIRST = f'if midas.index == 2 and midas.attempt == 0 then print("spinning") {SPIN} end'


def test_every_task_runs_once_and_results_are_in_order(midas, script):
    ended = midas("run", script(), "--tasks", "300", "--workers", "2", "--no-progress")
    assert ended == (0, ",".join(map(str, range(300))) + "\n", "")


def test_by_default_there_is_one_task_for_each_worker(midas, script):
    assert midas("run", script(), "--workers", "3").out == "0,1,2\n"


def test_no_tasks_are_a_job_too(midas, script):
    path = script(interpret='return results.n .. " of " .. #results')
    assert midas("run", path, "--tasks", "0") == (0, "0 of 0\n", "")


def test_a_script_knows_where_it_is_and_what_it_was_given(midas, script, tmp_path):
    told = 'table.concat({ arg[0], #arg, arg[1], arg[2] or "-", midas.dir }, "|")'
    path = script(f"return {told}", interpret=f'return results[1] .. "\\n" .. {told}')
    (tmp_path / "elsewhere").mkdir()
    ended = midas(
        *("run", "../job.lua", "--tasks", "1", "--", "--tasks", "a b"), cwd=tmp_path / "elsewhere"
    )
    line = f"../job.lua|2|--tasks|a b|{path.parent}\n"
    assert ended == (0, line + line, "")


def test_a_task_knows_its_number_worker_and_seed(midas, script):
    told = "return { midas.index, midas.count, midas.round, midas.attempt, midas.seed }"
    path = script(told, interpret='return table.concat(results[2], " ")')
    assert midas("run", path, "--tasks", "3", "--seed", "9").out == "1 3 0 0 9\n"
    path = script("return midas.worker:sub(#midas.node + 1)", interpret="return results[1]")
    assert midas("run", path, "--workers", "1").out == "-000\n"


def test_the_script_reads_standard_input(midas, script):
    path = script("return global_data.line", generate="return { line = io.read() }")
    assert midas("run", path, "--tasks", "2", given="one\ntwo").out == "one,two\n"


def test_a_worker_reads_nothing_from_standard_input(midas, script):
    ended = midas("run", script("return io.read()"), "--tasks", "1", given="secret")
    assert (ended.code, ended.out) == (1, "")
    assert "io.read is not available in a task" in ended.err


def test_modules_beside_the_script_go_along(midas, script, tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "init.lua").write_text('return require "price" * 2')
    (tmp_path / "price.lua").write_text("return 21")
    path = script("return shop", top='local shop = require "shop"', interpret="return results[1]")
    assert midas("run", path, "--tasks", "1").out == "42\n"


def test_a_killed_worker_costs_no_result(start, script):
    run = start("run", script(f"{SPIN_FIRST} return global_data.index"), "--tasks", "40")
    run.wait_for("spinning")
    run.busy_children(1)[0].kill()
    ended = run.wait()
    assert (ended.code, ended.out) == (0, ",".join(map(str, range(40))) + "\n")


def test_all_workers_killed_are_replaced(start, script):
    once = f'if midas.attempt == 0 then print("spinning") {SPIN} end return global_data.index'
    run = start("run", script(once), "--tasks", "2", "--workers", "2")
    run.wait_for("spinning", count=2)
    for process in run.busy_children(2):
        process.kill()
    assert run.wait().out == "0,1\n"


def test_a_task_that_kills_its_workers_fails_alone(start, script):
    deadly = f'if midas.index == 1 then print("spinning") {SPIN} end return global_data.index'
    path = script(deadly, interpret="return errors[2]")
    run = start("run", path, "--tasks", "4", "--on-error", "continue")
    for attempt in range(3):
        run.wait_for("spinning", count=attempt + 1)
        run.busy_children(1)[0].kill()
    ended = run.wait()
    assert ended.code == 1
    assert "SIGKILL" in ended.out
    assert "3" in ended.out
    assert "midas: 1 task failed" in ended.err


def test_the_end_of_the_script_process_is_told(start, script):
    run = start("run", script(interpret=f'print("spinning") {SPIN}'), "--tasks", "1")
    run.wait_for("spinning")
    run.busy_children(1)[0].kill()
    ended = run.wait()
    assert (ended.code, ended.out) == (4, "")
    assert "the script process was killed by SIGKILL" in ended.err


@pytest.mark.parametrize("where", ["top", "generate", "execute", "interpret"])
def test_the_end_of_the_zygote_is_told(start, script, where):
    run = start("run", script(**{where: f'print("spinning") {SPIN}'}), "--tasks", "1")
    run.wait_for("spinning")
    run.zygote().kill()
    ended = run.wait()
    assert (ended.code, ended.out) == (4, "")
    assert "killed by SIGKILL" in ended.err
    assert "Traceback" not in ended.err


def test_nothing_is_left_when_the_command_is_killed(start, script, commands):
    run = start("run", script(f'print("spinning") {SPIN}'), "--tasks", "2", "--workers", "2")
    run.wait_for("spinning", count=2)
    processes = [run.zygote(), *run.children(3)]
    run.kill()
    assert psutil.wait_procs(processes, timeout=20)[1] == []


# -- at a standing host ----------------------------------------------------------------------------


@pytest.fixture
def cluster(start):
    """A standing host with one participant of two workers: the host, the participant, where."""
    host = start("host", "--address", "127.0.0.1:0")
    where = host.address()
    node = start("participant", "--address", where, "--workers", "2", "--name", "node")
    node.wait_for("joined")
    return host, node, where


def test_several_jobs_one_after_the_other_at_one_host(midas, script, cluster):
    path = script()
    for tasks in (5, 0, 200):
        ended = midas("run", path, "--address", cluster[2], "--tasks", str(tasks))
        assert ended == (0, ",".join(map(str, range(tasks))) + "\n", "")


def test_jobs_at_the_same_time_at_one_host(start, script, cluster):
    path = script()
    runs = [start("run", path, "--address", cluster[2], "--tasks", str(n)) for n in (50, 60, 70)]
    answers = [run.wait().out for run in runs]
    assert answers == [",".join(map(str, range(n))) + "\n" for n in (50, 60, 70)]


def test_the_address_may_come_from_the_environment(midas, script, cluster):
    path = script("return midas.worker")
    ended = midas("run", path, "--tasks", "4", env={"MIDAS_ADDRESS": cluster[2]})
    assert set(ended.out.strip().split(",")) <= {"node-000", "node-001"}


def test_an_error_names_the_worker_of_the_other_node(midas, script, cluster):
    path = script('error("no luck")')
    ended = midas("run", path, "--tasks", "1", "--address", cluster[2])
    assert ended.code == 1
    assert "midas: script error in execute_code, task 0, on node-00" in ended.err
    assert "job.lua:3: no luck" in ended.err


SLEEPER = "local t = os.clock() while os.clock() - t < 0.05 do end return midas.index"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_is_started_again_finishes_the_job(start, script, cluster, signum):
    host, node, where = cluster
    path = script(SLEEPER, top="function on_result(i, r) print('arrived') return r end")
    run = start("run", path, "--address", where, "--tasks", "60")
    run.wait_for("arrived", count=5)
    worker_pids = {worker.pid for worker in node.children(2)}
    host.stop(signum)
    run.wait_for(r"trying again")
    node.wait_for("go(es)? on here|waiting for the next one")
    start("host", "--address", where)
    ended = run.wait()
    assert (ended.code, ended.out) == (0, ",".join(map(str, range(60))) + "\n")
    assert ended.err.count("arrived") == 60
    assert "midas: connected to the host again" in ended.err
    assert {worker.pid for worker in node.children(2)} == worker_pids


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_does_not_come_back_ends_the_run(start, script, cluster, signum):
    host, _, where = cluster
    path = script(f'print("spinning") {SPIN}')
    run = start("run", path, "--address", where, "--tasks", "1", "--patience", "1s")
    run.wait_for("spinning")
    host.stop(signum)
    ended = run.wait()
    assert (ended.code, ended.out) == (4, "")
    assert "nobody was there again within 1 s" in ended.err.splitlines()[-1]


def test_a_host_that_dies_while_the_script_loads_may_come_back(start, script, cluster):
    host, _, where = cluster
    path = script(top='print("loading") pcall(io.read)')
    run = start("run", path, "--address", where, "--tasks", "3")
    run.wait_for("loading")
    host.kill()
    start("host", "--address", where)
    run.say("go on")
    assert run.wait().out == "0,1,2\n"


def test_a_run_that_waits_for_its_host_can_be_stopped(start, script, cluster):
    host, _, where = cluster
    run = start("run", script(f'print("spinning") {SPIN}'), "--address", where, "--tasks", "1")
    run.wait_for("spinning")
    host.kill()
    run.wait_for("trying again")
    assert run.stop(signal.SIGINT).code == 130


def test_the_last_participant_goes_and_another_takes_over(start, script, cluster):
    _, node, where = cluster
    run = start("run", script(f"{SPIN_FIRST} return midas.index"), "--address", where, "--tasks=9")
    run.wait_for("spinning")
    node.kill()
    run.wait_for("midas: waiting for 1 worker: no node is connected; 'midas participant' lends one")
    start("participant", "--address", where, "--workers", "1").wait_for("joined")
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "0,1,2,3,4,5,6,7,8\n")


def test_a_run_that_is_killed_frees_the_workers(start, midas, script):
    host = start("host", "--address", "127.0.0.1:0", "--patience", "0.5s")
    where = host.address()
    start("participant", "--address", where, "--workers", "2").wait_for("joined")
    run = start("run", script(f'print("spinning") {SPIN}'), "--address", where, "--tasks", "2")
    run.wait_for("spinning", count=2)
    run.send(signal.SIGKILL)
    host.wait_for("its client did not come back within 0.5 s")
    assert midas("run", script(name="next.lua"), "--address", where, "--tasks", "2").out == "0,1\n"


@pytest.mark.parametrize("_", range(4))  # what it ends in the middle of differs
def test_nobody_listens(midas, script, _):
    ended = midas("run", script(), "--address", "127.0.0.1:1")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith("midas: no host listens at 127.0.0.1:1: start 'midas host'")


def test_workers_are_the_hosts_affair_where_there_is_an_address(midas, script):
    ended = midas("run", script(), "--address", "127.0.0.1:1", "--workers", "2")
    assert ended.code == 2
    assert "--workers is for this machine" in ended.err


def test_patience_is_for_a_host(midas, script):
    ended = midas("run", script(), "--patience", "5s")
    assert ended.code == 2
    assert "--patience is for a host that may go away" in ended.err
