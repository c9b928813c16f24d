-- Why a value cannot be sent, and where in it: the slow second walk after encode() has refused.
--
--   explain(value, where) -> "execute_code() result: .rows[3].callback: cannot send a function"
--
-- A table that is in many places is looked at once for each depth at most: there may be more ways to
-- it than anybody could walk.
local limits, engine, arrays = ...
local type, next = type, next
local ceil, floor = math.ceil, math.floor
local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub
local concat = table.concat

local KEY_BYTES_MAX = 60

local function show_key(k)
  if type(k) == "number" then return format("[%.14g]", k) end
  if type(k) ~= "string" then return "" end
  local text = #k > KEY_BYTES_MAX and sub(k, 1, KEY_BYTES_MAX) .. "..." or k
  if find(k, "^[%a_][%w_]*$") then return "." .. text end
  return '["' .. gsub(text, '[%c"\\]', function(c) return format("\\%03d", byte(c)) end) .. '"]'
end

local walk

-- Some engines have integers that are no exact number elsewhere.
local function is_beyond(x)
  local largest = limits.integer_max
  return engine.number_kind(x) == "integer" and (x > largest or x < -largest)
end

local function bad_key(k)
  if k ~= k then return "cannot send a table with a nan key" end
  local kind = type(k)
  if kind ~= "string" and kind ~= "number" then
    return "cannot send a table with a " .. kind .. " key"
  end
  if is_beyond(k) then return "cannot send a table with an integer key beyond 2^53" end
  return nil
end

-- Returns what is wrong below `t`, having left the keys that lead there in `path`.
local function walk_table(t, path, open, fine, depth)
  if open[t] then return "cannot send a table that contains itself" end
  if fine[t] and fine[t] >= depth then return nil end
  if depth > limits.depth_max then
    return format("nested deeper than %d tables", limits.depth_max)
  end
  open[t] = true
  for k, v in next, t do
    local problem = bad_key(k)
    if problem then return problem end
    path[depth] = show_key(k)
    problem = walk(v, path, open, fine, depth)
    if problem then return problem end
  end
  path[depth] = nil
  open[t], fine[t] = nil, depth
  return nil
end

function walk(v, path, open, fine, depth)
  if arrays.kind_of(v) then
    return arrays.is_gone(v) and "cannot send an array of a task that is over" or nil
  end
  local kind = type(v)
  if kind == "table" then return walk_table(v, path, open, fine, depth + 1) end
  if kind == "nil" or kind == "boolean" or kind == "string" then return nil end
  if kind == "number" then return is_beyond(v) and "cannot send an integer beyond 2^53" or nil end
  if kind == "thread" then kind = "coroutine" end
  return "cannot send a " .. kind
end

local function number_bytes(x)
  if floor(x) ~= x or engine.number_kind(x) == "float" or x >= 2 ^ 53 or x <= -2 ^ 53 then return 9 end
  if x < 0 then x = -4 * x end
  if x < 2 ^ 7 then return 1 elseif x < 2 ^ 8 then return 2 elseif x < 2 ^ 16 then return 3 end
  return x < 2 ^ 32 and 5 or 9
end

-- About what a value that can be sent takes; `known` has the tables that were counted before.
local function bytes_of(v, known)
  local array = arrays.kind_of(v)
  if array then return #v * array.size_bytes end
  local kind = type(v)
  if kind == "number" then return number_bytes(v) end
  if kind == "string" then return #v + (#v < 32 and 1 or 5) end
  if kind ~= "table" then return 1 end
  if known[v] then return known[v] end
  local bytes, n = 5.0, 0 -- an integer may run over
  for k, item in next, v do
    n = n + 1
    bytes = bytes + bytes_of(item, known)
    if k ~= n then bytes = bytes + bytes_of(k, known) end
  end
  known[v] = bytes
  return bytes
end

local function too_large(value)
  local most, bytes = limits.payload_bytes_max, bytes_of(value, {})
  if bytes <= most then return format("larger than %d MB, with the results before it", most / 2 ^ 20) end
  return format("larger than the %d MB that one may have: it takes %.0f MB", most / 2 ^ 20,
    ceil(bytes / 2 ^ 20))
end

local function explain(value, where)
  local path = {}
  local problem = walk(value, path, {}, {}, 0) or too_large(value)
  local place = concat(path)
  if place == "" then return where .. ": " .. problem end
  return where .. ": " .. place .. ": " .. problem
end

return { explain = explain, show_key = show_key }
