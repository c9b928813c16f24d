-- What all tasks of a round share: one value, decoded once, and the proof that no task wrote to it.
--
-- A write would make a task's answer depend on which tasks ran before it in the same worker.  Lua
-- cannot forbid one without proxies, which #, next, sort and concat do not see through at full
-- speed; so an image is kept, a flat list of all keys and values in the order of `next`, which only
-- a write can change.  check() compares a bounded number of entries and goes on there the next
-- time; the caller decides what that may cost.  A write is found sooner or later, then, not always
-- at once: after the task that did it where the data is small, else within some passes.
--
--   shared.put(round, value)    nil: forget it.  watch() may follow once the payload is collected
--   shared.value(round)         nil where this round has none
--   shared.watch()              makes the image: one slot for each value, one for each table
--   shared.check(count) -> is_done, problem    compares at most `count` entries
--
-- While the walk goes from table to table, in the order in which they were met, the image holds
-- for each: the values of the keys 1, 2, 3… as long as they come in this order, then, if there are
-- others, KEYED with pairs of key and value, and END.
local show_key = ...
local next, pcall, rawequal, type, getmetatable = next, pcall, rawequal, type, getmetatable
local concat = table.concat

local KEYED, END = {}, {}
local WRITTEN = "a task wrote into shared_data%s: all tasks of a worker share it, so copy what is to"
  .. " be changed"
local format = string.format

local current_round, current_value
local tables, image
local number, at, key, position, is_keyed -- where the walk is: in table `number`, behind `key`

local function rewind()
  number, at, key, position, is_keyed = 1, 1, nil, 0, false
end

-- -- the image ------------------------------------------------------------------------------------

local function watch()
  if type(current_value) ~= "table" then return end
  local found, entries, found_count, n = { current_value }, {}, 1, 0
  local current = 0
  while current < found_count do
    current = current + 1
    local i, keyed = 0, false
    for k, v in next, found[current] do
      i = i + 1
      if keyed or k ~= i then
        if not keyed then
          keyed = true
          n = n + 1
          entries[n] = KEYED
        end
        n = n + 1
        entries[n] = k
      end
      n = n + 1
      entries[n] = v
      if type(v) == "table" then
        found_count = found_count + 1
        found[found_count] = v
      end
    end
    n = n + 1
    entries[n] = END
  end
  tables, image = found, entries
  rewind()
end

-- The key of the entry that leads to table `wanted`, and the table which that entry is in.
local function parent_of(wanted)
  local child, parent, i, keyed, p = 1, 1, 0, false, 0
  while true do
    p = p + 1
    if image[p] == END then
      parent, i, keyed = parent + 1, 0, false
    elseif image[p] == KEYED then
      keyed = true
    else
      local k
      i = i + 1
      if keyed then k, p = image[p], p + 1 else k = i end
      if type(image[p]) == "table" then child = child + 1 end
      if child == wanted then return k, parent end
    end
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

-- -- the walk -------------------------------------------------------------------------------------

-- Compares entries of the walk's table; returns how many are left of `count`, and whether the
-- table's end is reached.  Raises, or returns nil, when the table is not what it was.
local function compare(t, count)
  local p, i, keyed, last = at, position, is_keyed, key
  for k, v in next, t, key do
    if count == 0 then
      at, position, is_keyed, key = p, i, keyed, last
      return 0, false
    end
    count, i = count - 1, i + 1
    if not keyed and k ~= i then
      if image[p] ~= KEYED then return nil end
      p, keyed = p + 1, true
    end
    if keyed then
      if not rawequal(image[p], k) then return nil end
      p = p + 1
    end
    local was = image[p]
    if not rawequal(was, v) and (was == was or v == v) then return nil end -- nan is nan still
    p, last = p + 1, k
  end
  if image[p] ~= END then return nil end
  at = p
  return count, true
end

local function walk(count)
  while count > 0 do
    local t = tables[number]
    if key == nil and getmetatable(t) ~= nil then return nil end
    local left, is_end = compare(t, count)
    if not left then return nil end
    count = left
    if is_end then
      if number == #tables then
        rewind()
        return true
      end
      number, at, key, position, is_keyed = number + 1, at + 1, nil, 0, false
      count = count - 1
    end
  end
  return false
end

-- -- for calls.lua --------------------------------------------------------------------------------

local shared = {}

function shared.put(round, value)
  current_round, current_value, tables, image = round, value, nil, nil
end

function shared.value(round)
  if round == current_round then return current_value end
  return nil
end

shared.watch = watch

function shared.check(count)
  if not image then return true, nil end
  local ok, is_done = pcall(walk, count)
  if ok and is_done ~= nil then return is_done, nil end
  return true, format(WRITTEN, path_to(number))
end

return shared
