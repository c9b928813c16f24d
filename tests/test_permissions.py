from __future__ import annotations

import pytest

from midas_mp.errors import UsageError
from midas_mp.permissions import (
    KINDS,
    NO_FILES,
    NO_LANDLOCK,
    Grant,
    Permissions,
    Refusals,
    parse_kind,
    refusals,
)

DRIVER = Permissions(read=("/",), write=("/here",))


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("read", ("read", "/")),
        ("read=/data", ("read", "/data")),
        ("read=a=b", ("read", "a=b")),
        ("write=/tmp/out", ("write", "/tmp/out")),
        ("clock", ("clock", "")),
        ("jit", ("jit", "")),
    ],
)
def test_a_grant_is_a_kind_and_for_files_a_folder(text, grant):
    assert Grant.parse(text) == grant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("write", "say below which folder: write=DIR"),
        ("write=", "say below which folder: write=DIR"),
        ("read=", "say below which folder: read=DIR, or read for all of them"),
        ("clock=/x", "clock has no folder: write clock alone"),
        ("net", "'net' is no permission; there are read, write, clock, jit"),
        ("x" * 999, f"'{'x' * 60}' is no permission"),
    ],
)
def test_what_is_no_grant_says_why(text, why):
    with pytest.raises(UsageError) as caught:
        Grant.parse(text)
    assert str(caught.value).startswith(why)


def test_kinds_are_known_by_name():
    assert [parse_kind(kind) for kind in KINDS] == list(KINDS)
    with pytest.raises(UsageError, match="no permission"):
        parse_kind("read=/data")


def test_a_task_has_the_clock_and_the_compiler_and_no_file():
    assert str(Permissions()) == "clock, jit"
    assert not Permissions().has_files


def test_what_is_denied_is_denied_whatever_was_allowed():
    granted = Permissions().allowing(map(Grant.parse, ["read=/data", "read=/more", "write=/out"]))
    assert str(granted) == "read=/data, read=/more, write=/out, clock, jit"
    assert str(granted.denying(["read", "jit"])) == "write=/out, clock"
    assert str(Permissions().denying(KINDS)) == "nothing"
    assert Permissions().denying(KINDS).allowing([Grant("clock"), Grant("jit")]) == Permissions()
    assert str(DRIVER) == "read, write=/here, clock, jit"


def test_who_asks_for_nothing_in_particular_has_all_that_is_granted():
    assert refusals(DRIVER, None, is_driver=True, has_landlock=True) == Refusals()
    assert refusals(Permissions(), None, is_driver=False, has_landlock=True) == NO_FILES


def test_a_script_that_asks_for_less_has_less():
    refused = refusals(DRIVER, ["read", "jit"], is_driver=True, has_landlock=True)
    assert refused == Refusals(
        write="is not what this job asks for", clock="is not what this job asks for"
    )


def test_asking_for_more_than_is_granted_gives_nothing():
    refused = refusals(Permissions(clock=False), KINDS, is_driver=False, has_landlock=True)
    assert refused == NO_FILES._replace(clock="is not permitted on this node")


def test_without_landlock_only_the_user_s_own_script_reads():
    refused = refusals(DRIVER, None, is_driver=True, has_landlock=False)
    assert refused == Refusals(write=NO_LANDLOCK)
    some = Permissions(read=("/data",), write=("/out",))
    for is_driver in (False, True):
        refused = refusals(some, None, is_driver=is_driver, has_landlock=False)
        assert refused == Refusals(read=NO_LANDLOCK, write=NO_LANDLOCK)
    assert refusals(DRIVER, None, is_driver=False, has_landlock=False).read == NO_LANDLOCK
