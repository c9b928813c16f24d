-- The arrays of one element type, for LuaJIT: compiled once for each, so that machine code made for
-- one knows its type.
--
-- An array is a cdata: a header, and room for the elements unless they lie elsewhere.  The names of
-- its fields are secret; a script that knew them could reach numbers that cannot be written, and
-- elements of no fields, whose address can be counted with and nothing else.  The cast is inside of
-- __index, behind the check; no allocation lies between them, so the array cannot be collected there.
--
--   element.make(is_read_only, room bytes) -> an array, its header not set yet
--   element.refuses(x)                     whether x cannot be an element
local kind, rules, host = ...
local ffi, type, error, floor, ceil = host.ffi, host.type, host.error, host.floor, host.ceil
local format, look_up, show, rawequal = host.format, host.look_up, host.show, host.rawequal
local cast, new, tonumber = host.ffi.cast, host.ffi.new, host.tonumber
local ADDRESS, READY, COUNT, reaches = host.ADDRESS, host.READY, host.COUNT, host.reaches
local GONE, READ_ONLY = rules.GONE, rules.READ_ONLY
local bad_index, bad_value = rules.bad_index, rules.bad_value

local element_p = ffi.typeof(host.C_NAMES[kind.name] .. " *")
local LEAST, MOST = kind.least, kind.most

local function declare()
  return ffi.typeof(host.DECLARATION, ADDRESS, READY, COUNT, host.PLACE, host.ROOM)
end

local writable, read_only = declare(), declare()

local function refuses(x)
  return type(x) ~= "number"
end

if LEAST then
  function refuses(x)
    return not (type(x) == "number" and x >= LEAST and x <= MOST and floor(x) == x)
  end
end

local function index(a, k)
  if type(k) == "number" and k >= 1 and k <= a[READY] and floor(k) == k then
    return cast(element_p, a[ADDRESS])[k - 1]
  end
  if reaches(kind, a, k) then return index(a, k) end
  local value, problem = look_up(kind, a, k)
  if problem then error(problem, 2) end
  return value
end

-- Most numbers are well within: only one at the edge must be looked at as the integer that it is.
if kind.is_wide then
  local integer = ffi.typeof(host.C_NAMES[kind.name])
  local least, most = integer(LEAST), integer(MOST)

  local function beyond(x, k)
    if x < least or x > most then error(format(rules.BEYOND, k), 3) end
  end

  function index(a, k)
    if type(k) == "number" and k >= 1 and k <= a[READY] and floor(k) == k then
      local x = cast(element_p, a[ADDRESS])[k - 1]
      local number = tonumber(x)
      if not (number > LEAST - 1 and number < MOST) then beyond(x, k) end
      return number
    end
    if reaches(kind, a, k) then return index(a, k) end
    local value, problem = look_up(kind, a, k)
    if problem then error(problem, 2) end
    return value
  end
end

local function refusal(a, k, x)
  if tonumber(a[ADDRESS]) == 0 then return GONE end
  if type(k) == "string" then return rules.bad_field(k) end
  if type(k) ~= "number" or k < 1 or k > a[COUNT] or floor(k) ~= k then
    return bad_index(k, a[COUNT])
  end
  return bad_value(kind, x)
end

local function new_index(a, k, x)
  if type(k) == "number" and k >= 1 and k <= a[READY] and floor(k) == k and type(x) == "number" then
    cast(element_p, a[ADDRESS])[k - 1] = x
    return
  end
  if reaches(kind, a, k) then return new_index(a, k, x) end
  error(refusal(a, k, x), 2)
end

if LEAST then
  function new_index(a, k, x)
    if type(k) == "number" and k >= 1 and k <= a[READY] and floor(k) == k
      and type(x) == "number" and x >= LEAST and x <= MOST and floor(x) == x
    then
      cast(element_p, a[ADDRESS])[k - 1] = x
      return
    end
    if reaches(kind, a, k) then return new_index(a, k, x) end
    error(refusal(a, k, x), 2)
  end
end

local function refuse_write(a)
  error(tonumber(a[ADDRESS]) == 0 and GONE or READ_ONLY, 2)
end

local function length(a)
  local count = a[COUNT]
  if count == 0 and tonumber(a[ADDRESS]) == 0 then error(GONE, 2) end
  return count
end

local function describe(a)
  return show(kind, a)
end

-- Without it, comparing two arrays, or one with anything else, would be arithmetic of addresses.
local function equals(a, b)
  return rawequal(a, b)
end

local metatable = { __index = index, __newindex = new_index, __len = length, __eq = equals,
  __tostring = describe }
ffi.metatype(writable, metatable)
ffi.metatype(read_only, { __index = index, __newindex = refuse_write, __len = length,
  __eq = equals, __tostring = describe })

local element = { refuses = refuses, ids = { tonumber(writable), tonumber(read_only) } }

function element.make(is_read_only, room_bytes)
  return new(is_read_only and read_only or writable, ceil(room_bytes / host.ROOM_BYTES))
end

return element
