-- midas.array for LuaJIT: who owns the elements, and how long.  plain_array.lua has the same for the
-- engines of PUC-Rio.
--
--   arrays.new(type, dimensions…), arrays.new(type, values, dimensions…)    midas.array
--   arrays.kind_of(v)               its kind; nil: it is no array
--   arrays.is_gone(v)
--   arrays.ipairs(v)                what a loop over an array needs; nil: it is none
--   arrays.end_task()               what was received since the last one is gone
--   arrays.keep_received()          but not this: it is shared by all tasks of a round
--   arrays.forget_shared()          until now
--
-- For the codec:
--
--   arrays.receive(kind, count, shape, address)    an array of elements that lie there
--   arrays.receive_copy(...)                       the same, copied first
--   arrays.address(v), arrays.count(v), arrays.shape_of(v)
--   arrays.is_received(v)           nobody writes to it
--   arrays.own_copy(v)
--   arrays.is_outbound(v)
--   arrays.hand_over(v)             it is its reader's now, and gone for the script
--
-- What was received is read in place and becomes gone when its task is over: no address, no
-- elements, so that any access is an error.  A driver keeps what it receives, so it gets copies.
-- An array that a script makes lies in Lua's memory.  Where a task's world ends with the task, a
-- large one lies in shared memory, where whoever gets the result reads it in place.  That memory is
-- made zero a piece at a time, when an element of it is asked for: who fills an array from its
-- beginning finds the piece in the cache still, which halves the time.
local use, settings, rules, room, outbound = ...
local ffi = require("ffi")
local error, next, rawequal, setmetatable = error, next, rawequal, setmetatable
local tonumber, type = tonumber, type
local floor, ceil, min, format = math.floor, math.ceil, math.min, string.format
local cast, copy, fill, typeof = ffi.cast, ffi.copy, ffi.fill, ffi.typeof

-- Names that no script can know: a field is found before any __index is asked, and that of the
-- elements would be a pointer.
local function field(name)
  return name .. " " .. settings.secret
end

local ADDRESS, READY, COUNT, PLACE = field("address"), field("ready"), field("count"), field("place")
local ROOM = field("room")
local OWN, RECEIVED, OUTBOUND = 0, 1, 2
local DECLARATION = "struct { const int64_t $; const int32_t $, $, $; int32_t : 32;"
  .. " const struct { uint32_t : 32; } $[?]; }"

local header_p = typeof("struct { int64_t address; int32_t ready, count, place; } *")
local HEADER_BYTES = 24
local PIECE_BYTES = 2 ^ 16
local bytes_t, address_t = typeof("uint8_t *"), typeof("int64_t")

-- Whether a task's world ends with the task.
local is_closed = settings.isolate and not settings.is_driver

local C_NAMES = { float64 = "double", float32 = "float", int8 = "int8_t", int16 = "int16_t",
  int32 = "int32_t", int64 = "int64_t", uint8 = "uint8_t", uint16 = "uint16_t",
  uint32 = "uint32_t", uint64 = "uint64_t" }

local arrays, methods = {}, {}
local shapes = setmetatable({}, { __mode = "k" }) -- of those that have several dimensions
local elements, kinds_by_id = {}, {}
local received, received_count, shared = {}, 0, {}

-- -- fields ---------------------------------------------------------------------------------------

local function shape_of(a)
  local shape, list = shapes[a], {}
  if not shape then return { a[COUNT] } end
  for i = 1, #shape do list[i] = shape[i] end
  return list
end

local function is_gone(a)
  return tonumber(a[ADDRESS]) == 0
end

-- What a[k] is when k is no index; or nil, and what is wrong.
local function look_up(kind, a, k)
  if is_gone(a) then return nil, rules.GONE end
  if k == "type" then return kind.name end
  if k == "shape" then return shape_of(a) end
  local method = type(k) == "string" and methods[k]
  if method then return method end
  if type(k) == "string" then return nil, rules.bad_field(k) end
  return nil, rules.bad_index(k, a[COUNT])
end

local function show(kind, a)
  if is_gone(a) then return kind.name .. " array that is gone" end
  return rules.describe(kind, a[COUNT], shapes[a])
end

-- -- zeros ----------------------------------------------------------------------------------------

local function make_ready(kind, a, last)
  local ready = a[READY]
  fill(cast(bytes_t, a[ADDRESS]) + ready * kind.size_bytes, (last - ready) * kind.size_bytes)
  cast(header_p, a).ready = last
end

local function make_all_ready(kind, a)
  if a[READY] < a[COUNT] then make_ready(kind, a, a[COUNT]) end
end

-- Whether k is the index of an element that has only now been made ready.
local function reaches(kind, a, k)
  local count = a[COUNT]
  if a[READY] == count or type(k) ~= "number" or floor(k) ~= k then return false end
  if not (k > a[READY] and k <= count) then return false end
  make_ready(kind, a, min(count, k + PIECE_BYTES / kind.size_bytes))
  return true
end

local host = {
  ffi = ffi, type = type, error = error, floor = floor, ceil = ceil, format = format,
  tonumber = tonumber, rawequal = rawequal, look_up = look_up, show = show, reaches = reaches,
  C_NAMES = C_NAMES, ADDRESS = ADDRESS, READY = READY, COUNT = COUNT, PLACE = PLACE, ROOM = ROOM,
  ROOM_BYTES = 4,
  DECLARATION = DECLARATION,
}

local function element_of(kind)
  local element = elements[kind]
  if element then return element end
  element = use("luajit_element", kind, rules, host)
  elements[kind] = element
  for _, id in next, element.ids do kinds_by_id[id] = kind end
  return element
end

local function kind_of(v)
  if type(v) ~= "cdata" then return nil end
  return kinds_by_id[tonumber(typeof(v))]
end

-- -- making ---------------------------------------------------------------------------------------

local function set_header(a, address, count, place, ready)
  local header = cast(header_p, a)
  header.address, header.ready, header.count, header.place = address, ready or count, count, place
end

-- In Lua's memory.
local function own(kind, count, is_read_only)
  local size = count * kind.size_bytes
  if not room.claim(size) then room.refuse() end
  local a = element_of(kind).make(is_read_only, size)
  set_header(a, cast(address_t, cast(bytes_t, a)) + HEADER_BYTES, count,
    is_read_only and RECEIVED or OWN)
  return a
end

local function copy_into(a, kind, shape, address)
  copy(cast(bytes_t, a[ADDRESS]), cast(bytes_t, address), a[COUNT] * kind.size_bytes)
  shapes[a] = shape
  return a
end

-- Zeros, in the memory that suits; or what was there before, where the caller overwrites it all.
local function make(kind, count, shape, is_overwritten)
  local size = count * kind.size_bytes
  if is_closed and outbound and outbound.suits(size) then
    local a = element_of(kind).make(false, 0)
    local address = outbound.take_for(a, size)
    if address then
      set_header(a, address, count, OUTBOUND, is_overwritten and count or 0)
      shapes[a] = shape
      return a
    end
  end
  local a = own(kind, count, false)
  shapes[a] = shape
  return a
end

local function make_copy(kind, count, shape, address)
  return copy_into(make(kind, count, nil, true), kind, shape, address)
end

-- What is copied may have nobody else who holds it, and to make an array may collect garbage: its
-- address is asked for afterwards, and it is needed once more after that.
local function copy_from(a, into)
  make_all_ready(kind_of(a), a)
  copy_into(into, kind_of(a), nil, a[ADDRESS])
  shapes[into] = shapes[a]
  return into
end

function methods.copy(a)
  local kind = kind_of(a)
  if not kind then error("bad argument #1 to 'copy' (array expected, got " .. type(a) .. ")", 2) end
  if is_gone(a) then error(rules.GONE, 2) end
  local b = make(kind, a[COUNT], nil, true)
  return copy_from(a, b)
end

function arrays.new(name, ...)
  local kind, count, shape, values = rules.request(kind_of, name, ...)
  if not kind then error("midas.array: " .. count, 2) end
  local a = make(kind, count, shape)
  if not values then return a end
  local refuses = element_of(kind).refuses
  for i = 1, count do
    local x = values[i]
    if refuses(x) then
      error(format("midas.array: value %d: %s", i, rules.bad_value(kind, x)), 2)
    end
    a[i] = x -- checked again: a metatable of the values may have let the task end meanwhile
  end
  return a
end

-- -- what was received ----------------------------------------------------------------------------

local function track(a)
  received_count = received_count + 1
  received[received_count] = a
  return a
end

local function receive_copy(kind, count, shape, address)
  return track(copy_into(own(kind, count, true), kind, shape, address))
end

local function receive_in_place(kind, count, shape, address)
  if address % kind.size_bytes ~= 0 then return receive_copy(kind, count, shape, address) end
  local a = element_of(kind).make(true, 0)
  set_header(a, address, count, RECEIVED)
  shapes[a] = shape
  return track(a)
end

if settings.is_driver then
  arrays.receive, arrays.receive_copy = make_copy, make_copy
else
  arrays.receive, arrays.receive_copy = receive_in_place, receive_copy
end

-- Makes nothing: it must not fail where memory has run out.
local function let_go(a)
  fill(a, HEADER_BYTES)
end

function arrays.end_task()
  for i = 1, received_count do
    let_go(received[i])
    received[i] = nil
  end
  received_count = 0
  if outbound then outbound.end_task(let_go) end
end

function arrays.keep_received()
  shared, received, received_count = received, {}, 0
end

function arrays.forget_shared()
  for _, a in next, shared do let_go(a) end
  shared = {}
end

-- -- for the codec and the libraries --------------------------------------------------------------

arrays.kind_of, arrays.is_gone, arrays.shape_of = kind_of, is_gone, shape_of

function arrays.count(a) return a[COUNT] end

function arrays.address(a)
  make_all_ready(kind_of(a), a)
  return a[ADDRESS]
end

function arrays.own_copy(a)
  local kind = kind_of(a)
  local b = own(kind, a[COUNT], false)
  return copy_from(a, b)
end

function arrays.is_received(a) return a[PLACE] == RECEIVED end

function arrays.is_outbound(a) return a[PLACE] == OUTBOUND end

function arrays.hand_over(a)
  outbound.unwatch(a)
  let_go(a)
end

local function step(a, i)
  i = i + 1
  if i <= #a then return i, a[i] end
end

function arrays.ipairs(v)
  if not kind_of(v) then return nil end
  return step, v, 0
end

return arrays
