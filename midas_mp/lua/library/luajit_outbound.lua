-- Blocks of the memory that this process shares with whoever reads its results, for LuaJIT.
--
--   outbound.take(bytes) -> address     nil: no block of that size, or none is free
--   outbound.give_back(address)         nobody will read it
--   outbound.offset(address)
--   outbound.leaves_room(bytes)         whether so much fits within the memory limit beside it
--   outbound.watch(a, address)          the block is array a's, and free when nobody holds a
--   outbound.unwatch(a)                 no longer
--   outbound.let_out(bytes)             a block is its reader's, who frees it through Python
--   outbound.end_task(let_go)           let_go(a) for each that is watched, whose block is free
--
-- A map says of each granule whether it is free (0), begins a block (1) or goes on with it (2); the
-- states of all jobs of the process allocate by it, lowest address first: pages that were used
-- before cost a tenth of new ones.  What the collector knows of an array is its header, so it is
-- asked to collect when as much has been taken as was in use after the last time.
local settings = ...
local ffi = require("ffi")
local collect, next, setmetatable = collectgarbage, next, setmetatable
local ceil, max = math.ceil, math.max
local cast, gc = ffi.cast, ffi.gc

local GRANULE_BYTES = settings.granule_bytes
local DEBT_BYTES = 2 ^ 25
local BEGINS, GOES_ON = 1, 2

local base, granule_count = settings.outbound_address, settings.outbound_bytes / GRANULE_BYTES
local map = cast("uint8_t *", settings.outbound_map)
local memory_bytes = settings.memory_bytes > 0 and settings.memory_bytes or 1 / 0

local live = setmetatable({}, { __mode = "k" }) -- array -> its first granule
local held = 0 -- bytes of blocks that this state took and did not hand over
local debt, debt_max = 0, DEBT_BYTES

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
  held = held - (i - first) * GRANULE_BYTES
end

local function collect_garbage()
  collect("collect")
  debt, debt_max = 0, max(DEBT_BYTES, held)
end

local outbound = {}

function outbound.leaves_room(bytes)
  return held == 0 or held + bytes + collect("count") * 1024 <= memory_bytes
end

local function find_within_limit(count)
  if held + count * GRANULE_BYTES + collect("count") * 1024 > memory_bytes then return nil end
  return find(count)
end

function outbound.take(bytes)
  if bytes < GRANULE_BYTES then return nil end
  local count = ceil(bytes / GRANULE_BYTES)
  if debt + bytes > debt_max then collect_garbage() end
  local first = find_within_limit(count)
  if not first and debt > 0 then
    collect_garbage()
    first = find_within_limit(count)
  end
  if not first then return nil end
  map[first] = BEGINS
  for i = first + 1, first + count - 1 do map[i] = GOES_ON end
  held, debt = held + count * GRANULE_BYTES, debt + count * GRANULE_BYTES
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

-- The finaliser makes nothing, and what it needs is in it: the array's header may be cleared.
function outbound.watch(a, address)
  local first = granule(address)
  live[a] = first
  gc(a, function() free(first) end)
end

function outbound.end_task(let_go)
  for a, first in next, live do
    gc(a, nil)
    let_go(a)
    free(first)
    live[a] = nil
  end
end

function outbound.unwatch(a)
  gc(a, nil)
  live[a] = nil
end

function outbound.let_out(bytes)
  held = held - ceil(bytes / GRANULE_BYTES) * GRANULE_BYTES
end

return outbound
