import pytest

from midas_mp import limits
from midas_mp.lua.settings import library_settings, library_sources
from midas_mp.permissions import Refusals
from midas_mp.wire.messages import JobSpec


def settings(*, is_driver=False, **spec):
    return library_settings("job", JobSpec(**spec), Refusals(), is_driver=is_driver)


def test_every_file_of_the_library_is_there_by_its_name():
    sources = library_sources()
    assert sources[b"boot"].startswith(b"-- Builds one locked Lua state")
    assert {b"luajit_engine", b"plain_engine", b"calls"} < set(sources)


def test_only_bytes_numbers_and_tables_of_them_enter_lua():
    plain = (bytes, int, float)
    for value in settings(arg=["a"], named_arg={"k": "v"}).values():
        parts = [*value, *value.values()] if isinstance(value, dict) else [value]
        assert all(isinstance(part, plain) for part in parts)


def test_arguments_are_numbered_or_named_and_need_not_be_text():
    found = settings(arg=["p.lua", "\udcff"], named_arg={"1": "named", "ä": "b"})[b"arg"]
    assert found == {0: b"p.lua", 1: b"\xff", b"1": b"named", "ä".encode(): b"b"}


@pytest.mark.parametrize(
    ("engine", "family"), [("luajit", b"luajit"), ("lua5.4", b"plain"), ("lua5.5", b"plain")]
)
def test_an_engine_s_own_files_are_those_of_its_family(engine, family):
    assert settings(engine=engine)[b"engine"] == family


def test_a_seed_stays_an_integer_where_lua_has_it():
    assert settings(seed=-5)[b"seed"] == -5
    found = settings(seed=2**70)[b"seed"]
    assert (found, type(found)) == (2.0**70, float)


def test_only_workers_print_at_a_bounded_rate():
    assert settings()[b"print_lines_per_s"] == limits.PRINT_LINES_PER_S
    assert settings(is_driver=True)[b"print_lines_per_s"] > 10**15
