-- Msgpack -> values, for LuaJIT.  What comes may come from a stranger: every read is checked
-- against the end, every claimed size before anything is made for it, every depth against the
-- limit.
--
--   reader.decode(string, places) -> value     places of the buffers beside it: see
--                                              luajit_incoming.lua; without a string it is the
--                                              first of them, and read where it lies
--
--   reader.open(string, places) -> count    of the array that it is; then, for each of its values,
--   reader.take() -> value                  nil among them
--   reader.close()                          nothing may be left
--
-- All raise a table {refused = text}.
local limits, incoming = ...
local ffi = require("ffi")
local new_table = require("table.new")
local type, error = type, error
local bswap, tobit = bit.bswap, bit.tobit
local format = string.format
local cast, to_string = ffi.cast, ffi.string

local DEPTH_MAX = limits.depth_max
local INTEGER_MAX = limits.integer_max

local bytes_t, words_t = ffi.typeof("const uint8_t *"), ffi.typeof("const uint32_t *")
local number = ffi.new("union { double d; uint32_t u[2]; float f; }")

local function refuse(...)
  error({ refused = format(...) }, 0)
end

local take -- take(p, at, n, depth) -> value, position behind it

local function need(at, size, n)
  if size > n - at then refuse("the data ends in the middle of a value") end
end

local function u16(p, at)
  return p[at] * 0x100 + p[at + 1]
end

local function u32(p, at)
  return p[at] * 0x1000000 + p[at + 1] * 0x10000 + p[at + 2] * 0x100 + p[at + 3]
end

local function take_double(p, at)
  local words = cast(words_t, p + at)
  number.u[1], number.u[0] = bswap(tobit(words[0])), bswap(tobit(words[1]))
  return number.d
end

local function take_float(p, at)
  number.u[0] = bswap(tobit(cast(words_t, p + at)[0]))
  return number.f
end

local function take_i64(p, at, is_signed)
  local high, low = u32(p, at), u32(p, at + 4)
  if is_signed and high >= 0x80000000 then high = high - 0x100000000 end
  local x = high * 0x100000000 + low
  -- 2^53 + 1 rounds to 2^53: only an exact zero in the low word tells them apart.
  if x > INTEGER_MAX or x < -INTEGER_MAX or ((x == INTEGER_MAX or x == -INTEGER_MAX) and low ~= 0)
  then
    refuse("an integer beyond 2^53 cannot be a Lua number")
  end
  return x
end

local function take_string(p, at, size, n)
  need(at, size, n)
  return to_string(p + at, size), at + size
end

-- Every value takes a byte at least, so a claimed count can be checked before anything is made for
-- it; what the values after this one need is kept from it (`left`), else nested claims multiply.
local function take_array(p, at, count, n, depth)
  if depth >= DEPTH_MAX then refuse("nested deeper than %d", DEPTH_MAX) end
  need(at, count, n)
  local t = new_table(count, 0)
  local left = n - count
  for i = 1, count do
    if at < n and p[at] == 0xcb then
      need(at, 9, n)
      t[i] = take_double(p, at + 1)
      at = at + 9
    else
      local v
      v, at = take(p, at, left + i, depth + 1)
      if v == nil then refuse("nil inside an array") end
      t[i] = v
    end
  end
  return t, at
end

local function take_map(p, at, count, n, depth)
  if depth >= DEPTH_MAX then refuse("nested deeper than %d", DEPTH_MAX) end
  need(at, 2 * count, n)
  local t = new_table(0, count)
  local left = n - 2 * count
  for i = 1, count do
    local k, v
    k, at = take(p, at, left + 2 * i - 1, depth + 1)
    local kind = type(k)
    if kind ~= "string" and kind ~= "number" then refuse("a %s cannot be a key", kind) end
    if k ~= k then refuse("nan cannot be a key") end
    v, at = take(p, at, left + 2 * i, depth + 1)
    t[k] = v
  end
  return t, at
end

-- What the codes 0xc0 to 0xdf mean: how many bytes follow, and what to make of them.
local function take_scalar(p, at, code, n)
  if code == 0xc0 then return nil, at
  elseif code == 0xc2 then return false, at
  elseif code == 0xc3 then return true, at
  elseif code == 0xca then need(at, 4, n) return take_float(p, at), at + 4
  elseif code == 0xcb then need(at, 8, n) return take_double(p, at), at + 8
  elseif code == 0xcc then need(at, 1, n) return p[at], at + 1
  elseif code == 0xcd then need(at, 2, n) return u16(p, at), at + 2
  elseif code == 0xce then need(at, 4, n) return u32(p, at), at + 4
  elseif code == 0xcf then need(at, 8, n) return take_i64(p, at, false), at + 8
  elseif code == 0xd0 then
    need(at, 1, n)
    return p[at] < 0x80 and p[at] or p[at] - 0x100, at + 1
  elseif code == 0xd1 then
    need(at, 2, n)
    local x = u16(p, at)
    return x < 0x8000 and x or x - 0x10000, at + 2
  elseif code == 0xd2 then need(at, 4, n) return tobit(u32(p, at)), at + 4
  elseif code == 0xd3 then need(at, 8, n) return take_i64(p, at, true), at + 8
  end
  refuse("byte 0x%02x begins no msgpack value", code)
end

local EXT_ARRAY = 1

local function take_ext(p, at, size, n)
  need(at, size + 1, n)
  local kind = p[at]
  if kind ~= EXT_ARRAY then
    refuse("msgpack extension type %d is not supported", kind < 0x80 and kind or kind - 0x100)
  end
  return incoming.array(p, at + 1, size), at + 1 + size
end

local function take_sized(p, at, code, n, depth)
  if code == 0xc4 or code == 0xd9 then
    need(at, 1, n)
    return take_string(p, at + 1, p[at], n)
  elseif code == 0xc5 or code == 0xda then
    need(at, 2, n)
    return take_string(p, at + 2, u16(p, at), n)
  elseif code == 0xc6 or code == 0xdb then
    need(at, 4, n)
    return take_string(p, at + 4, u32(p, at), n)
  elseif code == 0xdc then
    need(at, 2, n)
    return take_array(p, at + 2, u16(p, at), n, depth)
  elseif code == 0xdd then
    need(at, 4, n)
    return take_array(p, at + 4, u32(p, at), n, depth)
  elseif code == 0xde then
    need(at, 2, n)
    return take_map(p, at + 2, u16(p, at), n, depth)
  elseif code == 0xdf then
    need(at, 4, n)
    return take_map(p, at + 4, u32(p, at), n, depth)
  elseif code >= 0xd4 and code <= 0xd8 then return take_ext(p, at, 2 ^ (code - 0xd4), n)
  elseif code == 0xc7 then
    need(at, 1, n)
    return take_ext(p, at + 1, p[at], n)
  elseif code == 0xc8 then
    need(at, 2, n)
    return take_ext(p, at + 2, u16(p, at), n)
  elseif code == 0xc9 then
    need(at, 4, n)
    return take_ext(p, at + 4, u32(p, at), n)
  end
  return take_scalar(p, at, code, n)
end

function take(p, at, n, depth)
  need(at, 1, n)
  local code = p[at]
  at = at + 1
  if code < 0x80 then return code, at
  elseif code >= 0xe0 then return code - 0x100, at
  elseif code >= 0xc0 then return take_sized(p, at, code, n, depth)
  elseif code >= 0xa0 then return take_string(p, at, code - 0xa0, n)
  elseif code >= 0x90 then return take_array(p, at, code - 0x90, n, depth)
  end
  return take_map(p, at, code - 0x80, n, depth)
end

local reader = {}
local text, bytes, size, position -- the text owns its bytes

local function start(data, places)
  local address
  address, size = incoming.open(places)
  text = data
  if data then address, size = data, #data end
  bytes = cast(bytes_t, address)
end

local function finish(at)
  local left = size - at
  text, bytes = nil, nil
  if left ~= 0 then refuse("%d bytes left behind the value", left) end
  incoming.close()
end

function reader.decode(data, places)
  start(data, places)
  local value, at = take(bytes, 0, size, 0)
  finish(at)
  return value
end

function reader.open(data, places)
  start(data, places)
  need(0, 1, size)
  local code, count = bytes[0], nil
  if code >= 0x90 and code < 0xa0 then
    count, position = code - 0x90, 1
  elseif code == 0xdc then
    need(1, 2, size)
    count, position = u16(bytes, 1), 3
  elseif code == 0xdd then
    need(1, 4, size)
    count, position = u32(bytes, 1), 5
  else
    refuse("arguments are an array")
  end
  need(position, count, size)
  return count
end

function reader.take()
  local value
  value, position = take(bytes, position, size, 0)
  return value
end

function reader.close()
  finish(position)
end

return reader
