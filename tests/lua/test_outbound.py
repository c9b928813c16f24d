import mmap

import pytest

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.outbound import Outbound, OutboundBlock
from tests.lua.arrays import address_of, unpack

GRANULE = limits.OUTBOUND_GRANULE_BYTES
GRANULES = 64


class Memory(Outbound):
    """Outbound memory of this process alone."""

    def __init__(self):
        self.memory = mmap.mmap(-1, GRANULES * GRANULE)
        super().__init__(address_of(self.memory), len(self.memory))

    def read(self, block):
        return self.memory[block.offset : block.offset + block.size_bytes]


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def state(script, memory):
    """A state of LuaJIT with outbound memory, whose tasks are the functions of a source."""

    def open_state(source, **settings):
        return script(source, engine="luajit", outbound=memory, **settings)

    return open_state


LARGE = """
function make(byte, n)
  local a = midas.array("uint8", n)
  for i = 1, n do a[i] = byte end
  return a
end
"""


def test_a_large_array_is_left_where_its_reader_reads_it(state, memory):
    task = state(LARGE + "function execute_code() return make(7, 100000) end")
    data, block = task.call_buffers()
    assert block == OutboundBlock(0, 100_000)
    assert memory.read(block) == b"\7" * 100_000
    assert unpack(data).size == 100_000
    assert memory.used_bytes == 2 * GRANULE
    memory.release(*block)
    assert memory.used_bytes == 0


def test_what_the_reader_has_is_not_used_again(state, memory):
    task = state(LARGE + "function execute_code() return make(midas.index, 65536) end")
    blocks = [task.call_buffers(index=i)[1] for i in range(3)]
    assert [block.offset for block in blocks] == [0, GRANULE, 2 * GRANULE]
    memory.release(*blocks[1])
    assert task.call_buffers(index=9)[1] == blocks[1]
    assert [memory.read(block)[0] for block in blocks] == [0, 9, 2]


def test_new_arrays_are_zeros_wherever_they_lie(state, memory):
    memory.memory[:] = b"\xff" * len(memory.memory)
    task = state("function execute_code() return midas.array('int32', 20000) end")
    assert memory.read(task.call_buffers()[1]) == bytes(80_000)


def test_what_is_not_sent_is_free_when_the_task_is_over(state, memory):
    task = state(LARGE + "function execute_code() make(1, 70000) keep = make(2, 70000) end")
    assert task.call() is None
    assert memory.used_bytes == 0


def test_what_a_failed_task_made_is_free_too(state, memory):
    task = state(LARGE + "function execute_code() return { make(1, 70000), print } end")
    assert "cannot send a function" in task.fail().message
    assert memory.used_bytes == 0


def test_what_nobody_holds_is_collected_while_the_task_runs(state, memory):
    source = LARGE + "function execute_code() for i = 1, 1000 do make(i % 256, 65536) end end"
    assert state(source).call() is None
    assert memory.used_bytes == 0


def test_without_room_arrays_are_lua_s_own(state, memory):
    task = state(LARGE + "function execute_code() return make(3, 65536) end")
    blocks = [task.call_buffers()[1] for _ in range(GRANULES)]
    assert memory.used_bytes == GRANULES * GRANULE
    assert task.call_buffers()[1] == b"\3" * 65_536
    assert len({block.offset for block in blocks}) == GRANULES


def test_an_array_of_more_than_all_the_memory_is_lua_s_own(state):
    size = (GRANULES + 1) * GRANULE
    task = state(LARGE + f"function execute_code() return make(3, {size}) end")
    assert task.call_buffers()[1] == b"\3" * size


def test_an_array_that_is_returned_twice_is_one_block(state):
    task = state(LARGE + "function execute_code() local a = make(1, 70000) return { a, a } end")
    data, block = task.call_buffers()
    first, second = unpack(data)
    assert first.buffer == second.buffer == 1
    assert block.size_bytes == 70_000


def test_a_world_that_goes_on_keeps_its_arrays_and_sends_copies(state, memory):
    source = "kept = make(5, 70000) function execute_code() kept[1] = midas.index return kept end"
    task = state(LARGE + source, isolate=False)
    blocks = [task.call_buffers(index=i)[1] for i in range(2)]
    assert [memory.read(block)[:2] for block in blocks] == [b"\0\5", b"\1\5"]
    assert memory.used_bytes == 4 * GRANULE


def test_the_items_of_a_batch_do_not_change_each_other_s_results(state, memory):
    source = LARGE + "local a = make(0, 70000) return function(x) a[1] = x return a end"
    (_, *blocks), error = state(source).call_batch_buffers(1, 1, 2, 3)
    assert error is None
    assert [memory.read(block)[0] for block in blocks] == [1, 2, 3]
    for block in blocks:
        memory.release(*block)
    assert memory.used_bytes == 0


def test_a_batch_that_fails_leaves_the_blocks_of_its_results(state, memory):
    source = (
        LARGE
        + """
    return function(x)
      if x == 3 then return { make(3, 70000), print } end
      return make(x, 70000)
    end"""
    )
    (_, *blocks), error = state(source).call_batch_buffers(1, 1, 2, 3, 4)
    assert error.item == 2
    assert [memory.read(block)[0] for block in blocks] == [1, 2]
    for block in blocks:
        memory.release(*block)
    assert memory.used_bytes == 0


def test_blocks_count_against_the_memory_limit(state):
    source = (
        LARGE
        + """
    function execute_code()
      local all = {}
      for i = 1, 50 do all[i] = make(1, 65536) end
    end"""
    )
    with pytest.raises(ScriptError, match="memory limit of 2 MB reached"):
        state(source, memory_bytes=2 * limits.MB).call()


def test_a_closed_state_leaves_nothing(state, memory):
    task = state(LARGE + "x = make(1, 70000) function execute_code() end", isolate=False)
    task.call()
    task.runtime.close()
    assert memory.used_bytes == 0


def test_what_is_free_is_known_from_a_place_on(state, memory):
    task = state(LARGE + "function execute_code() return { make(1, 70000), make(2, 70000) } end")
    _, first, second = task.call_buffers()
    end = GRANULES * GRANULE
    assert list(memory.free_from(0)) == [(4 * GRANULE, end)]
    memory.release(*first)
    assert list(memory.free_from(0)) == [(0, 2 * GRANULE), (4 * GRANULE, end)]
    assert list(memory.free_from(GRANULE + 1)) == [(4 * GRANULE, end)]
    assert list(memory.free_from(4 * GRANULE + 1)) == [(5 * GRANULE, end)]
    memory.release(*second)
    assert list(memory.free_from(0)) == [(0, end)]
    assert list(memory.free_from(end)) == []


def test_a_script_cannot_write_to_what_was_sent(state, memory):
    source = (
        LARGE
        + """
    function execute_code()
      if shared_data.kept then return pcall(function() shared_data.kept[1] = 9 end) end
      rawset(shared_data, "kept", make(1, 70000))
      return shared_data.kept
    end"""
    )
    task = state(source)
    task.share({})
    block = task.call_buffers()[1]
    assert task.call() is False
    assert memory.read(block)[0] == 1
