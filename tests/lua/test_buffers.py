import pytest

from midas_mp.lua.buffers import AddressPassage, StringPassage


def test_a_small_payload_enters_as_it_is():
    passed = AddressPassage().enter([memoryview(b"\x01")])
    assert (passed.payload, passed.places, passed.held) == (b"\x01", None, ())


def test_other_engines_get_strings_and_no_sooner_than_there_is_room():
    told = []

    class Lua:
        def table_from(self, strings):
            told.append(strings)
            return "table"

    passage = StringPassage(Lua())
    passed = passage.enter([b"\x01", memoryview(b"abc"), bytearray(b"d")])
    assert (passed.payload, passed.lua_bytes, told) == (b"\x01", 5, [])
    assert passage.told(passed.places) == "table"
    assert told == [[b"abc", b"d"]]
    assert passage.told(passage.enter([b"\x01"]).places) is None


@pytest.mark.parametrize("buffers", [[b"x" * 100_000], [b"\x01", b"x"]])
def test_other_payloads_are_held_where_they_lie(buffers):
    passed = AddressPassage().enter(buffers)
    assert passed.payload is None
    assert len(passed.places) == 16 * len(buffers)
    assert [each.size_bytes for each in passed.held] == list(map(len, buffers))
    passed.close()
