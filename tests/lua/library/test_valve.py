"""The valve on a clock that the test turns."""

import lupa.lua54
import lupa.luajit21
import pytest

from midas_mp.lua.settings import library_sources

RATES = {
    b"print_lines_per_s": 10,
    b"print_lines_burst": 100,
    b"print_bytes_per_s": 2**20,
    b"print_bytes_burst": 4 * 2**20,
}


class Valve:
    def __init__(self, engine):
        lua = engine.LuaRuntime(encoding=None)
        self._turn = lua.eval(b"function(t) clock = t end")
        self._turn(0)
        build = lua.eval(b"function(text, s) return load(text)(s, function() return clock end) end")
        self.doors = build(library_sources()[b"valve"], lua.table_from(RATES))

    def turn(self, time_s):
        self._turn(time_s)

    def passes(self, size=10):
        return self.doors[b"is_open"](size)

    def closing_note(self):
        note = self.doors[b"closing_note"]()
        return note and note.decode()

    def note(self, *, final=False):
        note = self.doors[b"final_note" if final else b"note"]()
        return note and note.decode()


@pytest.fixture(params=[lupa.luajit21, lupa.lua54], ids=["luajit", "lua5.4"])
def valve(request):
    return Valve(request.param)


def test_a_burst_passes_and_no_more(valve):
    assert [valve.passes() for _ in range(103)] == [True] * 100 + [False] * 3
    assert valve.note() == (
        "... 3 lines (0.0 MB) were dropped: a task may print 10 lines or 1 MB a second"
    )
    assert valve.note() is None


def test_being_shut_is_told_once_each_time(valve):
    for _ in range(100):
        assert valve.passes()
    assert valve.closing_note() is None
    for _ in range(3):
        assert not valve.passes()
    assert valve.closing_note() == (
        "... lines are dropped from here on: a task may print 10 lines or 1 MB a second"
    )
    assert valve.closing_note() is None
    valve.turn(2)
    assert [valve.passes() for _ in range(21)] == [True] * 20 + [False]
    assert valve.closing_note() is not None


def test_once_shut_it_opens_for_a_second_s_worth(valve):
    for _ in range(101):
        valve.passes()
    valve.turn(0.9)
    assert not valve.passes()
    valve.turn(1.1)
    assert [valve.passes() for _ in range(12)] == [True] * 11 + [False]
    assert valve.note().startswith("... 3 lines")


def test_bytes_have_a_bucket_of_their_own(valve):
    assert [valve.passes(2**20) for _ in range(5)] == [True] * 4 + [False]
    assert valve.note().startswith("... 1 lines (1.0 MB)")
    valve.turn(0.5)
    assert not valve.passes(1)
    valve.turn(1.0)
    assert valve.passes(2**20)


def test_a_long_rest_fills_it_to_the_burst_and_not_beyond(valve):
    for _ in range(101):
        valve.passes()
    valve.turn(1000)
    assert sum(valve.passes() for _ in range(200)) == 100


def test_the_end_of_short_tasks_tells_ten_times_a_second(valve):
    for _ in range(101):
        valve.passes()
    assert valve.note(final=True) is not None
    valve.passes()
    valve.turn(0.05)
    assert valve.note(final=True) is None
    valve.turn(0.15)
    assert valve.note(final=True).startswith("... 1 lines")


def test_what_passed_is_not_told(valve):
    assert valve.passes()
    assert valve.note() is None
    assert valve.note(final=True) is None


def test_a_clock_set_back_neither_fills_nor_empties_it(valve):
    valve.turn(50)
    for _ in range(201):
        valve.passes()
    assert valve.note(final=True) is not None
    valve.turn(-1000)
    assert not valve.passes()
    assert valve.note(final=True) is not None
    valve.turn(-998)
    assert [valve.passes() for _ in range(21)] == [True] * 20 + [False]


def test_whole_seconds_are_good_enough_for_a_steady_rate(valve):
    for second in range(1000):
        valve.turn(second)
        assert all(valve.passes() for _ in range(9))
