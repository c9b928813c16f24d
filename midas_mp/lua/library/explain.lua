-- Why a value cannot be sent, and where in it: the slow second walk after encode() has refused.
--
--   explain(value, where) -> "execute_code() result: .rows[3].callback: cannot send a function"
local limits, engine, arrays = ...
local type, next = type, next
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
local function walk_table(t, path, open, depth)
  if open[t] then return "cannot send a table that contains itself" end
  if depth > limits.depth_max then
    return format("nested deeper than %d tables", limits.depth_max)
  end
  open[t] = true
  for k, v in next, t do
    local problem = bad_key(k)
    if problem then return problem end
    path[depth] = show_key(k)
    problem = walk(v, path, open, depth)
    if problem then return problem end
  end
  path[depth] = nil
  open[t] = nil
  return nil
end

function walk(v, path, open, depth)
  if arrays.kind_of(v) then
    return arrays.is_gone(v) and "cannot send an array of a task that is over" or nil
  end
  local kind = type(v)
  if kind == "table" then return walk_table(v, path, open, depth + 1) end
  if kind == "nil" or kind == "boolean" or kind == "string" then return nil end
  if kind == "number" then return is_beyond(v) and "cannot send an integer beyond 2^53" or nil end
  if kind == "thread" then kind = "coroutine" end
  return "cannot send a " .. kind
end

local function explain(value, where)
  local path = {}
  local problem = walk(value, path, {}, 0)
    or format("larger than %d MB", limits.payload_bytes_max / 2 ^ 20)
  local place = concat(path)
  if place == "" then return where .. ": " .. problem end
  return where .. ": " .. place .. ": " .. problem
end

return { explain = explain, show_key = show_key }
