"""Where calls run."""

from __future__ import annotations

import itertools

import psutil
import pytest

from midas_mp import (
    BrokenCluster,
    Executor,
    HostUnreachable,
    LocalCluster,
    PeerRefused,
    ProcessLost,
    ScriptError,
    UsageError,
    limits,
)

SQUARE = "function(x) return x * x end"
BUSY = """
function(x)
  local start = os.clock()
  while os.clock() - start < 0.005 do end
  return x * x
end
"""


def test_a_standing_host_is_a_workplace(standing_host):
    with Executor(standing_host) as executor:
        assert executor.submit(SQUARE, 7).result() == 49
        assert repr(executor) == f"<midas_mp.Executor on {standing_host}, 2 workers>"
        assert list(executor.map(SQUARE, range(1000))) == [x * x for x in range(1000)]
        with pytest.raises(ScriptError, match="deliberate"):
            executor.submit("function() error('deliberate') end").result()


def test_a_token_opens_a_host_of_another_user(start, midas, tmp_path):
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    host = start("host", "--address", "0.0.0.0:0", env=env)
    where = f"127.0.0.1:{host.wait_for(r'0:([0-9]+);')[1]}"
    start("participant", "--address", where, "--workers", "1", env=env).wait_for("joined")
    for_clients = midas("token", "new", "--for", "clients", env=env).out.strip()
    with Executor(where, token=for_clients) as executor:
        assert executor.submit(SQUARE, 7).result() == 49
        assert for_clients not in repr(executor)
    with pytest.raises(PeerRefused, match="is for participants"):
        Executor(where, token=midas("token", "new", env=env).out)
    with pytest.raises(PeerRefused, match="this host is user"):
        Executor(where)


def test_another_machine_wants_a_token():
    with pytest.raises(UsageError, match="lets nobody in without a token"):
        Executor("192.0.2.1:1")


def test_nobody_there_is_said_at_once():
    with pytest.raises(HostUnreachable):
        Executor("127.0.0.1:1")


def test_calls_of_several_programs_share_a_host(standing_host):
    with Executor(standing_host) as one, Executor(standing_host) as other:
        futures = [(e.submit(SQUARE, x), x) for x in range(20) for e in (one, other)]
        assert all(future.result() == x * x for future, x in futures)


def test_a_host_that_comes_back_costs_no_result(start):
    host = start("host", "--address", "127.0.0.1:0")
    where = host.address()
    start("participant", "--address", where, "--workers", "2").wait_for("joined")
    with Executor(where) as executor:
        results = executor.map(BUSY, range(200), chunksize=1)
        seen = list(itertools.islice(results, 20))
        host.kill()
        single = executor.submit(SQUARE, 7)
        start("host", "--address", where).address()
        seen += results
        assert seen == [x * x for x in range(200)]
        assert single.result() == 49


def test_a_host_that_stays_away_breaks_the_executor(monkeypatch, nothing_left):
    monkeypatch.setattr(limits, "CLIENT_PATIENCE_S", 0.2)
    with LocalCluster(workers=1) as cluster, cluster.executor() as executor:
        results = executor.map(BUSY, range(1000), chunksize=1)
        assert next(results) == 0
        cluster.host.kill()
        with pytest.raises(BrokenCluster, match=r"nobody was there again within 0\.2 s"):
            list(results)
        with pytest.raises(BrokenCluster, match=r"nobody was there again within 0\.2 s"):
            executor.submit(SQUARE, 7).result()


def test_scripts_at_a_host_outlive_the_end_of_their_processes(standing_host, script):
    before = {*psutil.Process().children()}

    def kill_zygote(*_):
        (zygote,) = {*psutil.Process().children()} - before
        zygote.kill()
        zygote.wait()

    with Executor(standing_host) as executor:
        path, endless = script(), script(interpret="while true do end", name="endless.lua")
        for _ in range(2):
            assert executor.run(path, tasks=2) == "0,1"
            with pytest.raises(ProcessLost, match="the script process was killed"):
                executor.run(endless, tasks=1, progress=kill_zygote)
