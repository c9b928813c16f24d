-- Blocks of the memory that this process shares with whoever reads its results, for LuaJIT.
--
--   outbound.suits(bytes)               whether that is enough for a block
--   outbound.take(bytes) -> address     nil: none is free
--   outbound.give_back(address)         nobody will read it
--   outbound.offset(address)
--   outbound.take_for(a, bytes)         the same, for array a: free when nobody holds a
--   outbound.unwatch(a)                 no longer
--   outbound.let_out(bytes)             a block is its reader's, who frees it through Python
--   outbound.end_task(let_go)           let_go(a) for each that is watched, whose block is free
--
-- A map says of each granule whether it is free (0), begins a block (1) or goes on with it (2); the
-- states of all jobs of the process allocate by it, lowest address first: pages that were used
-- before cost a tenth of new ones.  Whatever can fail comes before a block is marked in it, else
-- nobody would ever free that block.
local settings, room = ...
local ffi = require("ffi")
local next, setmetatable, unpack, ceil = next, setmetatable, unpack, math.ceil
local cast, gc = ffi.cast, ffi.gc

local GRANULE_BYTES = settings.granule_bytes
local BEGINS, GOES_ON = 1, 2

local base, granule_count = settings.outbound_address, settings.outbound_bytes / GRANULE_BYTES
local map = cast("uint8_t *", settings.outbound_map)

local live = setmetatable({}, { __mode = "k" }) -- array -> its first granule, false: none yet
local STACK_SLOTS, nothing = 200, {}

local function find(count)
  local free = 0
  for i = 0, granule_count - 1 do
    if map[i] ~= 0 then
      free = 0
    else
      free = free + 1
      if free == count then return i - count + 1 end
    end
  end
  return nil
end

local function free(first)
  if map[first] ~= BEGINS then return end
  map[first] = 0
  local i = first + 1
  while i < granule_count and map[i] == GOES_ON do
    map[i] = 0
    i = i + 1
  end
  room.hold((first - i) * GRANULE_BYTES)
end

local outbound = {}

-- Returns the first granule of a block that is in use from now on; nil: there is none.
local function take(bytes)
  local count = ceil(bytes / GRANULE_BYTES)
  if not room.claim(count * GRANULE_BYTES) then return nil end
  local first = find(count)
  if not first and room.collect() then first = find(count) end
  if not first then return nil end
  unpack(nothing, 1, STACK_SLOTS) -- here the stack may end, not behind this
  map[first] = BEGINS
  for i = first + 1, first + count - 1 do map[i] = GOES_ON end
  room.hold(count * GRANULE_BYTES)
  return first
end

function outbound.suits(bytes)
  return bytes >= GRANULE_BYTES
end

function outbound.take(bytes)
  local first = outbound.suits(bytes) and take(bytes)
  return first and base + first * GRANULE_BYTES
end

-- The finaliser makes nothing, and what it needs is in it: the array's header may be cleared.
function outbound.take_for(a, bytes)
  local first
  gc(a, function() if first then free(first) end end)
  live[a] = false
  first = take(bytes)
  if not first then
    outbound.unwatch(a)
    return nil
  end
  live[a] = first
  return base + first * GRANULE_BYTES
end

local function granule(address)
  return (address - base) / GRANULE_BYTES
end

function outbound.give_back(address)
  free(granule(address))
end

function outbound.offset(address)
  return address - base
end

function outbound.end_task(let_go)
  for a, first in next, live do
    gc(a, nil)
    let_go(a)
    if first then free(first) end
    live[a] = nil
  end
end

function outbound.unwatch(a)
  gc(a, nil)
  live[a] = nil
end

function outbound.let_out(bytes)
  room.hold(-ceil(bytes / GRANULE_BYTES) * GRANULE_BYTES)
end

return outbound
