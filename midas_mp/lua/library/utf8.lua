-- Lua 5.4's utf8 library, for engines that have none.  Code points up to 10FFFF, no surrogates;
-- `lax` lifts both, up to 7FFFFFFF, as there.
local error, select, type, unpack = error, select, type, unpack
local byte, char, concat = string.byte, string.char, table.concat
local floor = math.floor

local utf8 = { charpattern = "[%z\1-\127\194-\253][\128-\191]*" }

-- How many bytes a code point takes: below the n-th bound, n bytes.
local BOUNDS = { 0x80, 0x800, 0x10000, 0x200000, 0x4000000, 0x80000000 }
local LEADS = { 0, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc }

local function encode(code)
  if type(code) ~= "number" or code < 0 or code >= 0x80000000 or code ~= floor(code) then
    error("bad argument to 'char' (value out of range)", 3)
  end
  local size = 1
  while code >= BOUNDS[size] do size = size + 1 end
  local bytes = {}
  for i = size, 2, -1 do
    bytes[i] = char(0x80 + code % 0x40)
    code = floor(code / 0x40)
  end
  bytes[1] = char(LEADS[size] + code)
  return concat(bytes)
end

function utf8.char(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = encode((select(i, ...))) end
  return concat(parts)
end

local function is_continuation(s, i)
  local c = byte(s, i)
  return c ~= nil and c >= 0x80 and c < 0xc0
end

local function lead_size(c)
  if c < 0x80 then return 1 elseif c < 0xc0 then return nil end
  for size = 2, 6 do
    if c < (LEADS[size + 1] or 0xfe) then return size end
  end
  return nil
end

-- The code point at i and the position behind it; nil when there is none.
local function decode(s, i, lax)
  local c = byte(s, i)
  local size = lead_size(c)
  if not size then return nil end
  local code = c - LEADS[size]
  for j = i + 1, i + size - 1 do
    if not is_continuation(s, j) then return nil end
    code = code * 0x40 + byte(s, j) - 0x80
  end
  if size > 1 and code < BOUNDS[size - 1] then return nil end
  if not lax and (code > 0x10ffff or (code >= 0xd800 and code < 0xe000)) then return nil end
  return code, i + size
end

local function position(i, size)
  return i < 0 and (-i > size and 0 or size + i + 1) or i
end

function utf8.codes(s, lax)
  local function step(_, i)
    i = i + 1
    while is_continuation(s, i) do i = i + 1 end
    if i > #s then return nil end
    local code, past = decode(s, i, lax)
    if not code or is_continuation(s, past) then error("invalid UTF-8 code", 2) end
    return i, code
  end
  return step, s, 0
end

function utf8.codepoint(s, i, j, lax)
  i = position(i or 1, #s)
  j = position(j or i, #s)
  if i < 1 or j > #s then error("bad argument to 'codepoint' (out of bounds)", 2) end
  local codes, n, code = {}, 0, nil
  while i <= j do
    code, i = decode(s, i, lax)
    if not code then error("invalid UTF-8 code", 2) end
    n = n + 1
    codes[n] = code
  end
  return unpack(codes, 1, n)
end

function utf8.len(s, i, j, lax)
  i, j = position(i or 1, #s), position(j or -1, #s)
  if i < 1 or i > #s + 1 then error("bad argument to 'len' (initial position out of bounds)", 2) end
  if j > #s then error("bad argument to 'len' (final position out of bounds)", 2) end
  local n = 0
  while i <= j do
    local code, past = decode(s, i, lax)
    if not code then return nil, i end
    i, n = past, n + 1
  end
  return n
end

local function back(s, n, i)
  while n < 0 and i > 1 do
    repeat i = i - 1 until i <= 1 or not is_continuation(s, i)
    n = n + 1
  end
  return n == 0 and i or nil
end

local function forward(s, n, i)
  n = n - 1
  while n > 0 and i <= #s do
    repeat i = i + 1 until not is_continuation(s, i)
    n = n - 1
  end
  return n == 0 and i or nil
end

function utf8.offset(s, n, i)
  i = position(i or (n > 0 and 1 or #s + 1), #s)
  if i < 1 or i > #s + 1 then error("bad argument to 'offset' (position out of bounds)", 2) end
  if n == 0 then
    while i > 1 and is_continuation(s, i) do i = i - 1 end
    return i
  end
  if is_continuation(s, i) then error("initial position is a continuation byte", 2) end
  if n < 0 then return back(s, n, i) end
  return forward(s, n, i)
end

return utf8
