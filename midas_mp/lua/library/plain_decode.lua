-- Msgpack -> values, for the engines of PUC-Rio.  What comes may come from a stranger: every read
-- is checked against the end, every claimed size before anything is made for it, every depth
-- against the limit.
--
-- The interface is told in luajit_decode.lua.
local limits, engine, buffers = ...
local type, error, pcall = type, error, pcall
local byte, sub, format, unpack = string.byte, string.sub, string.format, string.unpack
local new_table = engine.new_table

local DEPTH_MAX = limits.depth_max
local INTEGER_MAX = limits.integer_max

local FLOAT = 0xcb
local FLOATS, FLOATS_BYTES = ">" .. ("Bd"):rep(8), 72

local text -- what is being read

local function refuse(...)
  error({ refused = format(...) }, 0)
end

local take -- take(at, last, depth) -> value, position behind it; `last` is the last byte it may use

local function need(at, size, last)
  if size > last - at + 1 then refuse("the data ends in the middle of a value") end
end

local function bounded(x)
  if x > INTEGER_MAX or x < -INTEGER_MAX then
    refuse("an integer beyond 2^53 cannot be a Lua number")
  end
  return x
end

-- Eight floats at a time, as long as they are such; the position behind them, and their number.
local function take_floats(t, i, at, count, last)
  while i + 7 <= count and last - at >= FLOATS_BYTES - 1 do
    local k1, a, k2, b, k3, c, k4, d, k5, e, k6, f, k7, g, k8, h = unpack(FLOATS, text, at)
    if k1 ~= FLOAT or k2 ~= FLOAT or k3 ~= FLOAT or k4 ~= FLOAT or k5 ~= FLOAT or k6 ~= FLOAT
      or k7 ~= FLOAT or k8 ~= FLOAT
    then
      return i, at
    end
    t[i], t[i + 1], t[i + 2], t[i + 3] = a, b, c, d
    t[i + 4], t[i + 5], t[i + 6], t[i + 7] = e, f, g, h
    i, at = i + 8, at + FLOATS_BYTES
  end
  return i, at
end

-- Every value takes a byte at least, so a claimed count can be checked before anything is made for
-- it; what the values after this one need is kept from it (`left`), else nested claims multiply.
local function take_array(at, count, last, depth)
  if depth >= DEPTH_MAX then refuse("nested deeper than %d", DEPTH_MAX) end
  need(at, count, last)
  local t = new_table(count, 0)
  local left, i = last - count, 1
  while i <= count do
    if byte(text, at) == FLOAT then i, at = take_floats(t, i, at, count, last) end
    if i <= count then
      local v
      v, at = take(at, left + i, depth + 1)
      if v == nil then refuse("nil inside an array") end
      t[i] = v
      i = i + 1
    end
  end
  return t, at
end

local function take_map(at, count, last, depth)
  if depth >= DEPTH_MAX then refuse("nested deeper than %d", DEPTH_MAX) end
  need(at, 2 * count, last)
  local t = new_table(0, count)
  local left = last - 2 * count
  for i = 1, count do
    local k, v
    k, at = take(at, left + 2 * i - 1, depth + 1)
    local kind = type(k)
    if kind ~= "string" and kind ~= "number" then refuse("a %s cannot be a key", kind) end
    if k ~= k then refuse("nan cannot be a key") end
    v, at = take(at, left + 2 * i, depth + 1)
    t[k] = v
  end
  return t, at
end

-- -- what the codes 0xc0 to 0xdf mean: reader(at, last, depth) -------------------------------------

local function number_reader(form, size)
  return function(at, last)
    need(at, size, last)
    return unpack(form, text, at)
  end
end

local function wide_reader(form)
  return function(at, last)
    need(at, 8, last)
    return bounded((unpack(form, text, at))), at + 8
  end
end

-- An unsigned integer beyond 2^63 reads as a negative one.
local function take_u64(at, last)
  need(at, 8, last)
  local x = unpack(">I8", text, at)
  return bounded(x < 0 and INTEGER_MAX + 1 or x), at + 8
end

local function take_string(at, size, last)
  need(at, size, last)
  return sub(text, at, at + size - 1), at + size
end

local function sized_reader(form, size, read)
  return function(at, last, depth)
    need(at, size, last)
    return read(at + size, (unpack(form, text, at)), last, depth)
  end
end

local EXT_ARRAY = 1

local function take_ext(at, size, last)
  need(at, size + 1, last)
  local kind = unpack(">b", text, at)
  if kind ~= EXT_ARRAY then refuse("msgpack extension type %d is not supported", kind) end
  return buffers.array(text, at + 1, size), at + 1 + size
end

local function fixed_ext_reader(size)
  return function(at, last) return take_ext(at, size, last) end
end

local READERS = {
  [0xc0] = function(at) return nil, at end,
  [0xc2] = function(at) return false, at end,
  [0xc3] = function(at) return true, at end,
  [0xca] = number_reader(">f", 4), [0xcb] = number_reader(">d", 8),
  [0xcc] = number_reader(">B", 1), [0xcd] = number_reader(">I2", 2),
  [0xce] = number_reader(">I4", 4), [0xcf] = take_u64,
  [0xd0] = number_reader(">b", 1), [0xd1] = number_reader(">i2", 2),
  [0xd2] = number_reader(">i4", 4), [0xd3] = wide_reader(">i8"),
  [0xc4] = sized_reader(">B", 1, take_string), [0xd9] = sized_reader(">B", 1, take_string),
  [0xc5] = sized_reader(">I2", 2, take_string), [0xda] = sized_reader(">I2", 2, take_string),
  [0xc6] = sized_reader(">I4", 4, take_string), [0xdb] = sized_reader(">I4", 4, take_string),
  [0xdc] = sized_reader(">I2", 2, take_array), [0xdd] = sized_reader(">I4", 4, take_array),
  [0xde] = sized_reader(">I2", 2, take_map), [0xdf] = sized_reader(">I4", 4, take_map),
}
for i = 0, 2 do READERS[0xc7 + i] = sized_reader(">I" .. (1 << i), 1 << i, take_ext) end
for i = 0, 4 do READERS[0xd4 + i] = fixed_ext_reader(1 << i) end

function take(at, last, depth)
  need(at, 1, last)
  local code = byte(text, at)
  at = at + 1
  if code < 0x80 then return code, at
  elseif code >= 0xe0 then return code - 0x100, at
  elseif code >= 0xc0 then
    local read = READERS[code]
    if not read then refuse("byte 0x%02x begins no msgpack value", code) end
    return read(at, last, depth)
  elseif code >= 0xa0 then return take_string(at, code - 0xa0, last)
  elseif code >= 0x90 then return take_array(at, code - 0x90, last, depth)
  end
  return take_map(at, code - 0x80, last, depth)
end

local reader = {}
local position

function reader.decode(data, list)
  text = data
  buffers.open(list)
  local ok, value, at = pcall(take, 1, #data, 0)
  text = nil
  if not ok then error(value, 0) end
  if at ~= #data + 1 then refuse("%d bytes left behind the value", #data + 1 - at) end
  buffers.close()
  return value
end

function reader.open(data, list)
  text = data
  buffers.open(list)
  need(1, 1, #text)
  local code, count = byte(text, 1), nil
  if code >= 0x90 and code < 0xa0 then
    count, position = code - 0x90, 2
  elseif code == 0xdc then
    need(2, 2, #text)
    count, position = unpack(">I2", text, 2)
  elseif code == 0xdd then
    need(2, 4, #text)
    count, position = unpack(">I4", text, 2)
  else
    refuse("arguments are an array")
  end
  need(position, count, #text)
  return count
end

function reader.take()
  local value
  value, position = take(position, #text, 0)
  return value
end

function reader.close()
  local left = #text + 1 - position
  text = nil
  if left ~= 0 then refuse("%d bytes left behind the value", left) end
  buffers.close()
end

return reader
