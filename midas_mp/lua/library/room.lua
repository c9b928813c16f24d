-- How much room there is for arrays within a state's memory limit.
--
--   room.claim(bytes) -> true    so much is going to be made; false: it does not fit, though all
--                                garbage was collected
--   room.hold(bytes)             so much of shared memory is this state's; negative: no longer
--   room.refuse()                fails as every lack of memory does
--   room.collect() -> whether anything was claimed since the last time
--
-- LuaJIT's allocator refuses what is beyond the limit without collecting garbage first, and its
-- collector takes one small step for an allocation however large it is; other engines do not count
-- what they need while they make a large string; and none knows of shared memory.  So what arrays
-- take is counted, and garbage is collected when they have taken as much as was in use after the
-- last time, or half of what was left of the limit.
local settings = ...
local collectgarbage, max, min, rep = collectgarbage, math.max, math.min, string.rep

local ALLOWANCE_BYTES = 2 ^ 25
local ALLOWANCE_BYTES_MIN = 2 ^ 20 -- near the limit, too, there must be time for the script
local STRING_BYTES_MAX = 2 ^ 31 - 1 -- more than a string may have

local memory_bytes = settings.memory_bytes > 0 and settings.memory_bytes or 1 / 0
local held = 0
local claimed, allowance = 0, min(ALLOWANCE_BYTES, memory_bytes / 4)

local room = {}

-- Returns how much is left of the limit.
local function collect()
  collectgarbage("collect")
  local used = collectgarbage("count") * 1024 + held
  local left = memory_bytes - used
  local wanted = max(ALLOWANCE_BYTES_MIN, min(max(ALLOWANCE_BYTES, used), left / 2))
  claimed, allowance = 0, min(wanted, left)
  return left
end

function room.claim(bytes)
  if claimed + bytes > allowance and collect() < bytes then return false end
  claimed = claimed + bytes
  return true
end

function room.collect()
  if claimed == 0 then return false end
  collect()
  return true
end

function room.hold(bytes)
  held = held + bytes
end

function room.refuse()
  return rep("x", STRING_BYTES_MAX)
end

return room
