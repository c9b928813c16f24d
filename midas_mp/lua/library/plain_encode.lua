-- Values -> msgpack, for the engines of PUC-Rio: string.pack makes the pieces, table.concat joins
-- them.
--
-- The interface is told in luajit_encode.lua.
--
-- Numbers go by subtype: an integer stays one, any float is a float64.  Metatables never run: next,
-- rawget and rawlen only.
local limits, arrays, buffers = ...
local type, next, rawget, error, pcall = type, next, rawget, error, pcall
local math_type, utf8_len = math.type, utf8.len
local pack, char, concat = string.pack, string.char, table.concat
local kind_of = arrays.kind_of

local DEPTH_MAX = limits.depth_max
local BYTES_MAX = limits.payload_bytes_max
local INTEGER_MAX = limits.integer_max
local PIECES_MAX = 4096 -- joined into one at a time: each costs some 60 bytes until then
local PIECE_BYTES_MAX = 2 ^ 20
local KEYS_MAX, KEY_BYTES_MAX = 1000, 40
local REFUSED = {}
local EXT_ARRAY = 1

local SMALL = {} -- integers of one byte
for i = -0x20, 0x7f do SMALL[i] = char(i & 0xff) end

local FLOAT = 0xcb
local FLOATS = ">" .. ("Bd"):rep(8)

local pieces, count, bytes -- since the last join; bytes of strings only
local joined, joined_count, joined_bytes
local keys, key_count = {}, 0 -- string -> its bytes, for keys that come again and again

local function join()
  local text = concat(pieces, "", 1, count)
  joined_count, joined_bytes = joined_count + 1, joined_bytes + #text
  if joined_bytes > BYTES_MAX then error(REFUSED, 0) end
  joined[joined_count] = text
  pieces, count, bytes = {}, 0, 0
end

local function put(piece)
  count = count + 1
  pieces[count] = piece
  if count >= PIECES_MAX then join() end
end

local function integer_piece(x)
  local small = SMALL[x]
  if small then return small end
  if x >= 0 then
    if x < 0x100 then return pack(">BB", 0xcc, x)
    elseif x < 0x10000 then return pack(">BI2", 0xcd, x)
    elseif x < 0x100000000 then return pack(">BI4", 0xce, x)
    elseif x <= INTEGER_MAX then return pack(">BI8", 0xcf, x)
    end
  elseif x >= -0x80 then return pack(">Bb", 0xd0, x)
  elseif x >= -0x8000 then return pack(">Bi2", 0xd1, x)
  elseif x >= -0x80000000 then return pack(">Bi4", 0xd2, x)
  elseif x >= -INTEGER_MAX then return pack(">Bi8", 0xd3, x)
  end
  error(REFUSED, 0)
end

local function number_piece(x)
  if math_type(x) == "integer" then return integer_piece(x) end
  return pack(">Bd", FLOAT, x)
end

local function head_of_string(s)
  local n = #s
  if utf8_len(s) then
    if n < 0x20 then return char(0xa0 + n)
    elseif n < 0x100 then return pack(">BB", 0xd9, n)
    elseif n < 0x10000 then return pack(">BI2", 0xda, n)
    end
    return pack(">BI4", 0xdb, n)
  end
  if n < 0x100 then return pack(">BB", 0xc4, n)
  elseif n < 0x10000 then return pack(">BI2", 0xc5, n)
  end
  return pack(">BI4", 0xc6, n)
end

local function put_bytes(s)
  bytes = bytes + #s
  put(s)
  if bytes > PIECE_BYTES_MAX then join() end
end

local function put_string(s)
  local n = #s
  if n <= KEY_BYTES_MAX then return put(head_of_string(s) .. s) end
  if n > BYTES_MAX then error(REFUSED, 0) end
  put(head_of_string(s))
  put_bytes(s)
end

local function put_count(n, fixed, code16)
  if n < 16 then put(char(fixed + n))
  elseif n < 0x10000 then put(pack(">BI2", code16, n))
  else put(pack(">BI4", code16 + 1, n))
  end
end

local put_table

local function put_value(v, depth)
  local kind = type(v)
  if kind == "number" then put(number_piece(v))
  elseif kind == "string" then put_string(v)
  elseif kind == "table" then put_table(v, depth + 1)
  elseif kind == "boolean" then put(v and "\xc3" or "\xc2")
  elseif v == nil then put("\xc0")
  else error(REFUSED, 0)
  end
end

-- How many keys there are, and whether they are exactly 1..n.
local function survey(t)
  local n, is_array = 0, true
  for k in next, t do
    n = n + 1
    if k ~= n then is_array = false end
  end
  if is_array then return n, true end
  for i = 1, n do
    if rawget(t, i) == nil then return n, false end
  end
  return n, true
end

-- Eight floats at a time, as long as they are such.
local function put_floats(t, i, n)
  while i + 7 <= n do
    local a, b, c, d = rawget(t, i), rawget(t, i + 1), rawget(t, i + 2), rawget(t, i + 3)
    local e, f, g, h = rawget(t, i + 4), rawget(t, i + 5), rawget(t, i + 6), rawget(t, i + 7)
    if math_type(a) ~= "float" or math_type(b) ~= "float" or math_type(c) ~= "float"
      or math_type(d) ~= "float" or math_type(e) ~= "float" or math_type(f) ~= "float"
      or math_type(g) ~= "float" or math_type(h) ~= "float"
    then
      return i
    end
    put(pack(FLOATS, FLOAT, a, FLOAT, b, FLOAT, c, FLOAT, d, FLOAT, e, FLOAT, f, FLOAT, g, FLOAT, h))
    i = i + 8
  end
  return i
end

local function put_array(t, n, depth)
  put_count(n, 0x90, 0xdc)
  local i = 1
  while i <= n do
    local v = rawget(t, i)
    if math_type(v) == "float" then
      local past = put_floats(t, i, n)
      if past > i then
        i = past
      else
        put(pack(">Bd", FLOAT, v))
        i = i + 1
      end
    else
      put_value(v, depth)
      i = i + 1
    end
  end
end

local function put_key(k)
  local piece = keys[k]
  if piece then return put(piece) end
  if type(k) == "number" then
    if k ~= k then error(REFUSED, 0) end
    return put(number_piece(k))
  end
  if type(k) ~= "string" then error(REFUSED, 0) end
  if #k > KEY_BYTES_MAX then return put_string(k) end
  if key_count == KEYS_MAX then keys, key_count = {}, 0 end
  piece = head_of_string(k) .. k
  keys[k], key_count = piece, key_count + 1
  put(piece)
end

-- An ext; the elements come behind its head where they do not have a buffer of their own.
local function put_typed_array(a, kind)
  if arrays.is_gone(a) then error(REFUSED, 0) end
  local data = buffers.describe(a, kind)
  local n = #data
  if joined_bytes + bytes + n + buffers.bytes() > BYTES_MAX then error(REFUSED, 0) end
  if n == 16 then put(char(0xd8, EXT_ARRAY))
  elseif n < 0x100 then put(char(0xc7, n, EXT_ARRAY))
  elseif n < 0x10000 then put(pack(">BI2B", 0xc8, n, EXT_ARRAY))
  else put(pack(">BI4B", 0xc9, n, EXT_ARRAY))
  end
  put_bytes(data)
end

function put_table(t, depth)
  local kind = kind_of(t)
  if kind then return put_typed_array(t, kind) end
  if depth > DEPTH_MAX then error(REFUSED, 0) end
  local n, is_array = survey(t)
  if is_array then return put_array(t, n, depth) end
  put_count(n, 0x80, 0xde)
  for k, v in next, t do
    put_key(k)
    put_value(v, depth)
  end
end

local function put_all(value)
  put_value(value, 0)
  join()
  return joined_count == 1 and joined[1] or concat(joined)
end

local writer = { REFUSED = REFUSED }

local function start()
  pieces, count, bytes, joined, joined_count, joined_bytes = {}, 0, 0, {}, 0, 0
end

function writer.encode(value)
  start()
  buffers.start()
  local ok, text = pcall(put_all, value)
  pieces, joined = nil, nil
  if not ok then error(text, 0) end
  buffers.mark()
  return text, buffers.finish()
end

-- All as it was behind the last value that was added whole: a join leaves these pieces alone.
local added, whole, whole_count, whole_joined_count, whole_joined_bytes

local function mark()
  whole, whole_count = pieces, count
  whole_joined_count, whole_joined_bytes = joined_count, joined_bytes
end

function writer.start()
  start()
  buffers.start()
  added = 0
  mark()
end

function writer.add(value)
  buffers.next()
  put_value(value, 0)
  buffers.mark()
  added = added + 1
  mark()
end

function writer.finish()
  pieces, count = whole, whole_count
  joined_count, joined_bytes = whole_joined_count, whole_joined_bytes
  join()
  local text = pack(">BI4", 0xdd, added) .. concat(joined, "", 1, joined_count)
  pieces, joined, whole = nil, nil, nil
  return text, buffers.finish()
end

writer.drop, writer.forget = buffers.drop, buffers.forget

return writer
