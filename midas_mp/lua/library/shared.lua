-- What all tasks of a round share: one value, decoded once, and the proof that no task wrote to it.
--
-- A write would make a task's answer depend on which tasks ran before it in the same worker.  Lua
-- cannot forbid one without proxies, which #, next, sort and concat do not see through at full
-- speed; so an image is kept of all keys and values in the order of `next`, which only a write can
-- change, and check() compares all of it.  The caller asks before it lets results go: what a task
-- wrote and put back itself is no write.
--
--   shared.put(round, value)    nil: forget it.  watch() may follow once the payload is collected
--   shared.value(round)         nil where this round has none
--   shared.watch()              makes the image: one slot for each value, one for each table
--   shared.check() -> where     nil: it is what it was; else a table that is not, as ".list[2]"
--
-- The image holds, for each table in the order in which they are met, the values of a list, whose
-- keys are 1, 2, 3… in this order; of any other, pairs of key and value.  The decoder makes a list
-- in the array part of its table, which `next` visits in order and before all else: any key besides
-- comes behind the last, or, as 0 does in LuaJIT, before the first.
local show_key, arrays = ...
local next, pcall, rawequal, type, getmetatable = next, pcall, rawequal, type, getmetatable
local concat = table.concat
local kind_of = arrays.kind_of

-- An array cannot be written, so its elements are not compared; where it is a table, nothing may be
-- put into that.

-- Stands in the image for a table, the next one in `tables`.  No metamethod is ever asked whether
-- it equals anything: a function is no table.
local function CHILD() end

local current_round, current_value
local tables, image
local sizes -- how many slots of the image each table has; those of a list are negative
local number -- the table that is being compared

-- -- the image ------------------------------------------------------------------------------------

local function is_list(t)
  local i = 0
  for k in next, t do
    i = i + 1
    if k ~= i then return false end
  end
  return true
end

local function watch()
  if type(current_value) ~= "table" then return end
  local found, entries, counts, n = { current_value }, {}, {}, 0
  local found_count, current = 1, 0
  while current < found_count do
    current = current + 1
    local t, before = found[current], n
    local list = is_list(t)
    for k, v in next, t do
      if not list then
        n = n + 1
        entries[n] = k
      end
      n = n + 1
      if type(v) == "table" then
        entries[n] = CHILD
        found_count = found_count + 1
        found[found_count] = v
      else
        entries[n] = v
      end
    end
    counts[current] = list and before - n or n - before
  end
  tables, image, sizes = found, entries, counts
end

-- The key of the entry that leads to table `wanted`, and the table which that entry is in.
local function parent_of(wanted)
  local child, p = 1, 0
  for parent = 1, #tables do
    local size = sizes[parent]
    local step = size < 0 and 1 or 2
    for i = step, size < 0 and -size or size, step do
      if image[p + i] == CHILD then child = child + 1 end
      if child == wanted then return step == 1 and i or image[p + i - 1], parent end
    end
    p = p + (size < 0 and -size or size)
  end
end

local function path_to(wanted)
  local path, n = {}, 0
  while wanted > 1 do
    local k
    k, wanted = parent_of(wanted)
    n = n + 1
    path[n] = show_key(k)
  end
  for i = 1, n / 2 do path[i], path[n + 1 - i] = path[n + 1 - i], path[i] end
  return concat(path)
end

-- -- comparing ------------------------------------------------------------------------------------

-- Both take where the table's slots begin, less one, and which child was met last; they return the
-- last one now, nil for a table that is not what it was.

local function compare_list(t, p, size, child)
  if next(t) ~= 1 then return nil end
  for i = 1, size do
    local was, now = image[p + i], t[i]
    if was ~= now then
      if was == CHILD then
        child = child + 1
        if not rawequal(now, tables[child]) then return nil end
      elseif was == was or now == now then -- nan is nan still
        return nil
      end
    end
  end
  if next(t, size) ~= nil then return nil end
  return child
end

local function compare_map(t, p, size, child)
  local last = p + size
  for k, now in next, t do
    if p == last or image[p + 1] ~= k then return nil end
    p = p + 2
    local was = image[p]
    if was ~= now then
      if was == CHILD then
        child = child + 1
        if not rawequal(now, tables[child]) then return nil end
      elseif was == was or now == now then
        return nil
      end
    end
  end
  if p ~= last then return nil end
  return child
end

local function compare_all()
  local p, child = 0, 1
  for current = 1, #tables do
    number = current
    local t, size = tables[current], sizes[current]
    if getmetatable(t) ~= nil and not kind_of(t) then return false end
    if size < 0 then
      size = -size
      child = compare_list(t, p, size, child)
    else
      child = compare_map(t, p, size, child)
    end
    if not child then return false end
    p = p + size
  end
  return true
end

-- -- for calls.lua --------------------------------------------------------------------------------

local shared = {}

function shared.put(round, value)
  current_round, current_value, tables, image, sizes = round, value, nil, nil, nil
end

function shared.value(round)
  if round == current_round then return current_value end
  return nil
end

shared.watch = watch

function shared.check()
  if not image then return nil end
  local ok, is_same = pcall(compare_all) -- some values cannot even be compared: LuaJIT's cdata
  if ok and is_same then return nil end
  return path_to(number)
end

return shared
