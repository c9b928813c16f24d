"""``midas workers``."""

from __future__ import annotations

import json

from midas_mp import __version__
from midas_mp.lua.engines import ENGINES


def all_are_there(shown):
    return shown[0] == "[" and [node["workers"] for node in json.loads(shown)] == [1, 2]


def test_who_works_for_a_host_is_shown_with_what_tasks_may_use(start, midas):
    where = start("host", "--address", "127.0.0.1:0").address()
    assert midas("workers", "--address", where).out == f"nobody works for the host at {where}\n"
    start("participant", "--address", where, "--name", "two", "--workers", "2")
    start("participant", "--address", where, "--name", "one", "--workers", "1", "--deny", "jit")
    while not all_are_there(shown := midas("workers", "--address", where, "--json").out):
        pass  # the next one asks later
    head, one, two = midas("workers", "--address", where).out.splitlines()
    assert head.split()[:5] == ["node", "workers", "busy", "paused", "sandbox"]
    assert head.split()[5:] == ["Lua", "tasks", "may", "use"]
    assert one.split()[:4] == ["one", "1", "0", "0"]
    assert one.endswith("clock")
    assert two.split()[:4] == ["two", "2", "0", "0"]
    assert two.endswith(", ".join(sorted(ENGINES)) + "  clock, jit")
    first, _ = json.loads(shown)
    assert (first["name"], first["release"], first["permits"]) == ("one", __version__, "clock")


def test_where_there_is_no_host_it_says_so(midas):
    ended = midas("workers", "--address", "127.0.0.1:1")
    assert ended.code == 4
    assert "127.0.0.1:1" in ended.err
