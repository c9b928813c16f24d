-- Values -> msgpack, for LuaJIT: ffi writes the bytes, string.buffer owns them.
--
--   writer.encode(value) -> string, places of the buffers beside it or nil: see luajit_outgoing.lua
--
--   writer.start()                  an array whose length is not known yet
--   writer.add(value, is_last)      nil too; whether no other follows
--   writer.finish() -> string, …    with as many values as were added
--   writer.drop()                   after a failure: what was not added whole is not sent
--   writer.forget()                 the caller has read the buffers
--
-- All raise REFUSED when a value cannot be sent: explain.lua says why.
--
-- The fast path keeps no path to where it is.  Metatables never run: next, rawget and the raw
-- length only (LuaJIT knows no __len of tables).
local limits, arrays, outgoing = ...
local ffi, buffer = require("ffi"), require("string.buffer")
local type, next, rawget, error = type, next, rawget, error
local floor, bswap, band, rshift, tobit =
  math.floor, bit.bswap, bit.band, bit.rshift, bit.tobit
local cast, copy, to_string = ffi.cast, ffi.copy, ffi.string
local kind_of, is_gone, address_of = arrays.kind_of, arrays.is_gone, arrays.address

ffi.cdef("void *memmove(void *, const void *, size_t);")
local memmove = ffi.C.memmove

local DEPTH_MAX = limits.depth_max
local BYTES_MAX = limits.payload_bytes_max
local INTEGER_MAX = limits.integer_max
local KEPT_BYTES_MAX = 2 ^ 20 -- a larger output buffer is given back after use
local FIRST_BYTES = 2 ^ 12
local REFUSED = {}
local EXT_ARRAY = 1

local u8p, u32p = ffi.typeof("uint8_t *"), ffi.typeof("uint32_t *")
local bytes_t, words_t = ffi.typeof("const uint8_t *"), ffi.typeof("const uint32_t *")
local number = ffi.new("union { double d; uint32_t u[2]; }")

local output = buffer.new()
local out, room = nil, 0 -- the bytes, and how many of them there are to use

-- Makes room for `need` more bytes behind the first `at`.  The buffer is kept "empty" in its own
-- eyes, so that what it holds always begins at `out`; only while it moves does it know of them.
local function grow(at, need)
  if at + need > BYTES_MAX then error(REFUSED, 0) end
  out = nil
  output:commit(at)
  local start, more = output:reserve(need)
  output:reset()
  out, room = start - at, at + more
end

local function start_output()
  output:reset()
  out, room = output:reserve(FIRST_BYTES)
end

local function put_u32(p, x)
  cast(u32p, p)[0] = bswap(tobit(x))
end

local function put_integer(x, at)
  local p = out + at
  if x >= 0 then
    if x < 0x80 then
      p[0] = x
      return at + 1
    elseif x < 0x100 then
      p[0], p[1] = 0xcc, x
      return at + 2
    elseif x < 0x10000 then
      p[0], p[1], p[2] = 0xcd, rshift(x, 8), band(x, 0xff)
      return at + 3
    elseif x < 0x100000000 then
      p[0] = 0xce
      put_u32(p + 1, x)
      return at + 5
    end
    p[0] = 0xcf
  else
    if x >= -0x20 then
      p[0] = x + 0x100
      return at + 1
    elseif x >= -0x80 then
      p[0], p[1] = 0xd0, x + 0x100
      return at + 2
    elseif x >= -0x8000 then
      p[0], p[1], p[2] = 0xd1, band(rshift(x, 8), 0xff), band(x, 0xff)
      return at + 3
    elseif x >= -0x80000000 then
      p[0] = 0xd2
      put_u32(p + 1, x)
      return at + 5
    end
    p[0] = 0xd3
  end
  local high = floor(x / 0x100000000)
  put_u32(p + 1, high)
  put_u32(p + 5, x - high * 0x100000000)
  return at + 9
end

local function put_double(x, at)
  number.d = x
  local p = out + at
  p[0] = 0xcb
  local words = cast(u32p, p + 1)
  words[0], words[1] = bswap(tobit(number.u[1])), bswap(tobit(number.u[0]))
  return at + 9
end

-- The caller has made room for 9 bytes.
local function put_number(x, at)
  if x == floor(x) and x >= -INTEGER_MAX and x <= INTEGER_MAX and (x ~= 0 or 1 / x > 0) then
    return put_integer(x, at)
  end
  return put_double(x, at)
end

-- Where the first byte of a sequence says how long it is, and which second bytes it may have.
local function sequence_end(p, i, n)
  local c = p[i]
  local second_min, second_max, more = 0x80, 0xbf, 1
  if c < 0xc2 then return nil
  elseif c < 0xe0 then more = 1
  elseif c < 0xf0 then
    more = 2
    if c == 0xe0 then second_min = 0xa0 elseif c == 0xed then second_max = 0x9f end
  elseif c < 0xf5 then
    more = 3
    if c == 0xf0 then second_min = 0x90 elseif c == 0xf4 then second_max = 0x8f end
  else
    return nil
  end
  if i + more >= n or p[i + 1] < second_min or p[i + 1] > second_max then return nil end
  for j = i + 2, i + more do
    if band(p[j], 0xc0) ~= 0x80 then return nil end
  end
  return i + more + 1
end

-- Strict, as Python is: no surrogates, no overlong forms, nothing above U+10FFFF.
local function is_utf8(s, n)
  local p, i = cast(bytes_t, s), 0
  while i < n do
    while i + 4 <= n and band(cast(words_t, p + i)[0], 0x80808080) == 0 do i = i + 4 end
    while i < n and p[i] < 0x80 do i = i + 1 end
    if i < n then
      i = sequence_end(p, i, n)
      if not i then return false end
    end
  end
  return true
end

local function put_sized(p, at, n, code8)
  if n < 0x100 then
    p[0], p[1] = code8, n
    return at + 2
  elseif n < 0x10000 then
    p[0], p[1], p[2] = code8 + 1, rshift(n, 8), band(n, 0xff)
    return at + 3
  end
  p[0] = code8 + 2
  put_u32(p + 1, n)
  return at + 5
end

local function put_string(s, at)
  local n = #s
  if at + n + 5 > room then grow(at, n + 5) end
  local p = out + at
  if not is_utf8(s, n) then
    at = put_sized(p, at, n, 0xc4)
  elseif n < 0x20 then
    p[0] = 0xa0 + n
    at = at + 1
  else
    at = put_sized(p, at, n, 0xd9)
  end
  copy(out + at, s, n)
  return at + n
end

local function put_count(n, at, fixed, code16)
  if at + 5 > room then grow(at, 5) end
  local p = out + at
  if n < 16 then
    p[0] = fixed + n
    return at + 1
  elseif n < 0x10000 then
    p[0], p[1], p[2] = code16, rshift(n, 8), band(n, 0xff)
    return at + 3
  end
  p[0] = code16 + 1
  put_u32(p + 1, n)
  return at + 5
end

-- An ext; the elements come behind its head where they do not have a buffer of their own.
local function put_typed_array(a, at)
  local kind = kind_of(a)
  if not kind or is_gone(a) then error(REFUSED, 0) end
  local head_size, size = outgoing.describe(a, kind)
  if at + outgoing.bytes() > BYTES_MAX then error(REFUSED, 0) end
  local n = head_size + size
  if at + n + 6 > room then grow(at, n + 6) end
  local p = out + at
  if n == 16 then
    p[0] = 0xd8
    at = at + 1
  else
    at = put_sized(p, at, n, 0xc7)
  end
  out[at] = EXT_ARRAY
  copy(out + at + 1, outgoing.head, head_size)
  if size > 0 then copy(out + at + 1 + head_size, cast(bytes_t, address_of(a)), size) end
  return at + 1 + n
end

local put_table

local function put_value(v, at, depth)
  if at + 9 > room then grow(at, 9) end
  local kind = type(v)
  if kind == "number" then return put_number(v, at)
  elseif kind == "string" then return put_string(v, at)
  elseif kind == "table" then return put_table(v, at, depth + 1)
  elseif kind == "boolean" then
    out[at] = v and 0xc3 or 0xc2
    return at + 1
  elseif v == nil then
    out[at] = 0xc0
    return at + 1
  end
  return put_typed_array(v, at)
end

-- Returns nil when it meets anything but the keys 1..n in this order: the caller starts again.
local function put_array(t, at, depth)
  local n, i = #t, 0
  at = put_count(n, at, 0x90, 0xdc)
  for k, v in next, t do
    i = i + 1
    if k ~= i then return nil end
    if type(v) == "number" then
      if at + 9 > room then grow(at, 9) end
      at = put_number(v, at)
    else
      at = put_value(v, at, depth)
    end
  end
  if i ~= n then return nil end
  return at
end

local function count_keys(t)
  local n = 0
  for _ in next, t do n = n + 1 end
  return n
end

-- An array whose keys do not come in order: parts of it live in the table's hash.
local function put_shuffled_array(t, n, at, depth)
  at = put_count(n, at, 0x90, 0xdc)
  for i = 1, n do at = put_value(rawget(t, i), at, depth) end
  return at
end

local function put_key(k, at)
  if type(k) == "string" then return put_string(k, at) end
  if type(k) ~= "number" or k ~= k then error(REFUSED, 0) end
  if at + 9 > room then grow(at, 9) end
  return put_number(k, at)
end

-- Most maps are small: the count is one byte, written last, and only a large one moves over.
local function put_map(t, at, depth)
  local first, n = at, 0
  if at + 5 > room then grow(at, 5) end
  at = at + 1
  for k, v in next, t do
    at = put_value(v, put_key(k, at), depth)
    n = n + 1
  end
  if n < 16 then
    out[first] = 0x80 + n
    return at
  end
  local shift = n < 0x10000 and 2 or 4
  if at + shift > room then grow(at, shift) end
  memmove(out + first + 1 + shift, out + first + 1, at - first - 1)
  put_count(n, first, 0x80, 0xde)
  return at + shift
end

-- Whether the keys are exactly 1..n, in whatever order they come.
local function is_shuffled_array(t, n)
  for i = 1, n do
    if rawget(t, i) == nil then return false end
  end
  return true
end

function put_table(t, at, depth)
  if depth > DEPTH_MAX then error(REFUSED, 0) end
  local k = next(t)
  if k == nil then return put_count(0, at, 0x90, 0xdc) end
  if k == 1 then
    local past = put_array(t, at, depth)
    if past then return past end
  end
  if rawget(t, 1) ~= nil then
    local n = count_keys(t)
    if is_shuffled_array(t, n) then return put_shuffled_array(t, n, at, depth) end
  end
  return put_map(t, at, depth)
end

local function take_out(size)
  local text = to_string(out, size)
  if room > KEPT_BYTES_MAX then
    out = nil
    output:free()
  end
  return text
end

local writer = { REFUSED = REFUSED }

function writer.encode(value)
  if out == nil then start_output() end
  outgoing.start()
  outgoing.next(true)
  local size = put_value(value, 0, 0)
  outgoing.mark()
  return take_out(size), outgoing.finish()
end

local HEAD_BYTES = 5
local added, position = 0, 0

function writer.start()
  if out == nil then start_output() end
  outgoing.start()
  added, position = 0, HEAD_BYTES
end

function writer.add(value, is_last)
  outgoing.next(is_last)
  position = put_value(value, position, 0)
  outgoing.mark()
  added = added + 1
end

function writer.finish()
  out[0] = 0xdd
  put_u32(out + 1, added)
  return take_out(position), outgoing.finish()
end

writer.drop, writer.forget = outgoing.drop, outgoing.forget

return writer
