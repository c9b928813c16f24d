"""Who lets scripts use what: the owner of a node, the user of a script, the script itself."""

from __future__ import annotations

import pytest

READ = """
local file, why = io.open(arg[1])
return file and file:read("*l") or why
"""
WRITE = """
local file, why = io.open(arg[1], "w")
if not file then return why end
file:write("x")
file:close()
return "written"
"""


@pytest.fixture
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.txt").write_text("from the file\n")
    return folder


def test_a_task_reads_where_the_owner_of_its_node_lets_it(start, script, data):
    path = script(READ)
    host = start("host", path, "--address", "127.0.0.1:0", "--tasks", "1", "--", data / "a.txt")
    node = start("participant", "--address", host.address(), "--allow", f"read={data}")
    node.wait_for(f"tasks may use read={data}, clock, jit")
    assert host.wait().out == "from the file\n"


def test_a_task_reads_nowhere_else(midas, script, data):
    ended = midas("run", script(READ), "--tasks", "1", "--", data / "a.txt")
    assert ended.code == 1
    assert "io.open is not available in a task: reading files is not permitted" in ended.err


def test_a_script_writes_where_its_user_lets_it(midas, script, data):
    path, where = script(interpret=WRITE), data / "out.txt"
    refused = midas("run", path, "--workers", "1", "--", where)
    assert refused.out == f"{where}: Permission denied\n"
    allowed = midas("run", path, "--workers", "1", "--allow-write", data, "--", where)
    assert allowed.out == "written\n"
    assert where.read_text() == "x"


def test_what_the_user_denies_neither_the_script_nor_its_tasks_have(midas, script, data):
    where = data / "a.txt"
    ended = midas("run", script(interpret=READ), "--deny", "read", "--workers", "1", "--", where)
    assert ended.out == f"{where}: reading files was not granted to this script\n"
    path = script("return pcall(os.time) and 1 or 0", interpret="return tostring(results[1])")
    assert midas("run", path, "--deny", "clock", "--workers", "1").out == "0\n"


@pytest.mark.parametrize(
    ("asked", "answer"), [("'read'", "true"), ("'clock'", "false"), ("", "false")]
)
def test_a_script_asks_for_less(midas, script, data, asked, answer):
    path = script(
        top=f"config = {{ permissions = {{ {asked} }} }}",
        interpret="return tostring(pcall(io.open, arg[1]))",
    )
    assert midas("run", path, "--workers", "1", "--", data / "a.txt").out == f"{answer}\n"


def test_what_is_no_permission_is_wrong_usage(midas, script):
    path = script(top="config = { permissions = { 'net' } }")
    ended = midas("run", path)
    assert ended.code == 2
    assert (
        "config.permissions: 'net' is no permission; there are read, write, clock, jit" in ended.err
    )
    ended = midas("participant", "--allow", "write")
    assert ended.code == 2
    assert "say below which folder: write=DIR" in ended.err
    ended = midas("participant", "--allow", "read=/no/such/folder")
    assert ended.code == 2
    assert "read=/no/such/folder: there is no such folder" in ended.err


@pytest.mark.parametrize("command", ["run", "host"])
def test_a_script_s_own_process_reaches_the_level_that_is_required(midas, script, command):
    options = () if command == "run" else ("--address", "127.0.0.1:0")
    ended = midas(command, script(), *options, "--require-sandbox", "2", "--sandbox-level-max", "1")
    assert ended.code == 4
    assert "reaches only sandbox level 1 of 3: resource limits; wanted is 2 of 3" in ended.err


def test_workers_reach_the_level_that_their_owner_requires(start, midas):
    host = start("host", "--address", "127.0.0.1:0")
    options = "--require-sandbox", "3", "--sandbox-level-max", "2"
    ended = midas("participant", "--address", host.address(), *options)
    assert ended.code == 4
    assert "a worker here reaches only sandbox level 2 of 3" in ended.err


def test_workers_reach_the_level_that_their_host_requires(start, midas):
    host = start("host", "--address", "127.0.0.1:0", "--require-sandbox", "3")
    ended = midas(
        "participant", "--address", host.address(), "--name", "poor", "--sandbox-level-max", "1"
    )
    assert ended.code == 3
    assert "poor reaches only sandbox level 1 of 3: resource limits; wanted is 3 of 3" in ended.err
    host.wait_for("poor reaches only sandbox level 1 of 3")


def test_no_script_reads_the_secrets_of_its_user(midas, script, tmp_path):
    state = tmp_path / "state" / "midas"
    state.mkdir(parents=True, mode=0o700)
    (state / "secret").write_text("secret\n")
    (tmp_path / "state" / "other.txt").write_text("from the file\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path, told = script(interpret=READ), {"env": {"XDG_STATE_HOME": str(tmp_path / "state")}}
    options = "--workers", "1", "--"
    refused = midas("run", path, *options, state / "secret", cwd=elsewhere, **told)
    assert refused.out == f"{state}/secret: Permission denied\n"
    read = midas("run", path, *options, tmp_path / "state" / "other.txt", cwd=elsewhere, **told)
    assert read.out == "from the file\n"
