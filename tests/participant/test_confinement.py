"""Each attempt is made by Python code inside a really confined process."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midas_mp.permissions import Permissions

MB = 2**20

PROBE = Path(__file__).with_name("confined_probe.py")

OPEN = {
    "read a file": "done",
    "read a folder": "done",
    "read a device": "done",
    "read what somebody types": "done",
    "read about a process": "done",
    "write to its own memory": "done",
    "create a file here": "done",
    "append to a file here": "done",
    "truncate a file here": "done",
    "create a file elsewhere": "done",
    "truncate a file elsewhere": "done",
    "delete a file here": "done",
    "read stdin": "done",
    "make a socket": "done",
    "connect": "done",
    "listen": "done",
    "connect to an abstract socket": "done",
    "signal another process": "done",
    "fork": "done",
    "exec": "done",
    "start a thread": "done",
    "map memory to write and execute": "done",
    "turn executable memory writable": "done",
    "write, then execute": "done",
    "recurse deeply in C": "refused",
    "leave a core": "done",
    "allocate": "done",
    "watch the clock": "done",
}

LIMITED = {"recurse deeply in C": "done", "leave a core": "refused"}

WORKER = {
    0: OPEN,
    1: OPEN | LIMITED,
    2: OPEN
    | LIMITED
    | {
        "read a file": "refused",
        "read a folder": "refused",
        "read a device": "refused",
        "read what somebody types": "refused",
        "read about a process": "refused",
        "write to its own memory": "refused",
        "create a file here": "refused",
        "append to a file here": "refused",
        "truncate a file here": "refused",
        "create a file elsewhere": "refused",
        "truncate a file elsewhere": "refused",
        "delete a file here": "refused",
        "connect": "refused",
        "listen": "refused",
        "connect to an abstract socket": "refused",
        "signal another process": "refused",
        "exec": "refused",
    },
}
WORKER[3] = WORKER[2] | {
    "make a socket": "refused",
    "fork": "refused",
    "start a thread": "refused",
    "map memory to write and execute": "refused",
    "turn executable memory writable": "refused",
}

WHAT_A_DRIVER_MAY = {
    "read a file": "done",
    "read a folder": "done",
    "read a device": "done",
    "create a file here": "done",
    "append to a file here": "done",
    "truncate a file here": "done",
}
DRIVER = {
    0: WORKER[0],
    1: WORKER[1],
    2: WORKER[2] | WHAT_A_DRIVER_MAY,
    # listing a folder takes a system call that opening a file does not
    3: WORKER[3] | WHAT_A_DRIVER_MAY | {"read a folder": "refused"},
}


def usual_permissions(profile: str, here: Path | str) -> dict[str, Any]:
    """What a process is granted when nobody says anything."""
    usual = Permissions.of_driver(str(here)) if profile == "driver" else Permissions()
    return dataclasses.asdict(usual)


@pytest.fixture
def probe(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Confines a process and lets it try everything; what came of it, and ``level``."""
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in ("here", "elsewhere"):
        (tmp_path / folder / "old.txt").write_text("old")

    def run(profile: str, level_max: int, lacking: str = "", **more: object) -> dict[str, Any]:
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
            name = f"\0midas-test-{os.getpid()}-{tmp_path.name}"
            unix.bind(name)
            unix.listen()
            request = {
                "profile": profile,
                "permissions": usual_permissions(profile, tmp_path / "here"),
                "private": [],
                "level_max": level_max,
                "memory_hard_bytes": 400 * MB,
                "here": str(tmp_path / "here"),
                "elsewhere": str(tmp_path / "elsewhere"),
                "port": tcp.getsockname()[1],
                "abstract": name[1:],
                "lacking": lacking,
            }
            done = subprocess.run(
                [sys.executable, str(PROBE), json.dumps(request | more)],
                input="stdin\n",
                capture_output=True,
                text=True,
                timeout=40,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("profile", ["worker", "driver"])
def test_what_each_level_refuses(
    probe: Callable[..., dict[str, Any]], profile: str, level: int
) -> None:
    answer = probe(profile, level)
    assert answer.pop("level") == level
    expected = (WORKER if profile == "worker" else DRIVER)[level]
    if level in (1, 2) and os.getuid() != 0:  # RLIMIT_NPROC binds all but root
        expected = expected | {"fork": "refused", "start a thread": "refused", "exec": "refused"}
    assert answer == expected


def test_a_driver_without_a_working_directory_writes_nothing(
    probe: Callable[..., dict[str, Any]],
) -> None:
    answer = probe("driver", 3, permissions=usual_permissions("driver", ""))
    assert answer["read a file"] == "done"
    assert answer["create a file here"] == "refused"
    assert answer["append to a file here"] == "refused"


def test_even_at_the_root_a_driver_keeps_out_of_processes(
    probe: Callable[..., dict[str, Any]],
) -> None:
    answer = probe("driver", 3, permissions=usual_permissions("driver", "/"))
    assert answer["create a file elsewhere"] == "done"
    assert answer["read about a process"] == "refused"
    assert answer["write to its own memory"] == "refused"


def test_a_kernel_without_landlock_lowers_the_level_and_the_rest_still_holds(
    probe: Callable[..., dict[str, Any]],
) -> None:
    answer = probe("worker", 3, lacking="landlock_create_ruleset")
    assert answer["level"] == 1
    assert answer["make a socket"] == "refused"
    assert answer["read a file"] == "refused"


def test_a_kernel_without_seccomp_lowers_the_level(
    probe: Callable[..., dict[str, Any]],
) -> None:
    answer = probe("worker", 3, lacking="seccomp")
    assert answer["level"] == 2
    assert answer["make a socket"] == "done"
    assert answer["read a file"] == "refused"


def test_the_hard_memory_limit_is_an_error_not_a_death(
    probe: Callable[..., dict[str, Any]],
) -> None:
    assert probe("worker", 3)["allocate"] == "done"
    assert probe("worker", 3, memory_hard_bytes=100 * MB)["allocate"] == "refused"


def test_a_directory_that_is_missing_lowers_the_level(
    probe: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    answer = probe("driver", 3, permissions=usual_permissions("driver", tmp_path / "missing"))
    assert answer["level"] == 1


def test_a_worker_reads_and_writes_where_it_was_granted(
    probe: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    granted = {"read": ["/etc"], "write": [str(tmp_path / "here")], "jit": True}
    answer = probe("worker", 3, permissions=granted)
    lacking = {"read a folder": "refused", "read a device": "refused", "level": 3}
    assert answer == WORKER[3] | WHAT_A_DRIVER_MAY | lacking
    answer = probe("worker", 3, permissions={"read": ["/usr"]})
    assert answer == WORKER[3] | {"level": 3}


def test_without_machine_code_no_memory_is_executable(
    probe: Callable[..., dict[str, Any]],
) -> None:
    answer = probe("worker", 3, permissions={"jit": False})
    assert answer == WORKER[3] | {"write, then execute": "refused", "level": 3}


def test_what_is_private_is_not_read_by_who_may_not_write_around_it(
    probe: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/etc")
    hidden = probe("driver", 3, private=["/etc"])
    assert hidden == DRIVER[3] | {"read a file": "refused", "level": 3}
    by_link = probe("driver", 3, private=[str(tmp_path / "link")])
    assert by_link == hidden
    all_mine = probe("driver", 3, private=["/etc"], permissions=usual_permissions("driver", "/"))
    assert all_mine["read a file"] == "done"
    (tmp_path / "token").symlink_to("/etc/passwd")
    for private in ("/etc/passwd", str(tmp_path / "token")):
        everything = usual_permissions("driver", "/")
        answer = probe("driver", 3, private=[private], permissions=everything)
        assert (answer["read a file"], answer["level"]) == ("refused", 3)
