-- The buffers of a payload, beside its msgpack, for LuaJIT: they are read where they lie.
--
--   incoming.open(places)       (address, bytes) of each in a string, number 0 among them, or nil
--                               -> address and bytes of number 0
--   incoming.array(p, at, size) -> the array of which so much says a msgpack ext
--   incoming.close()            each of them must have been an array by now
--
-- What comes may come from a stranger: all is checked, then an array is made.  It may lie in memory
-- that the stranger still writes, so whatever is checked is read once.  Raises a table
-- {refused = text}.
local rules, arrays = ...
local ffi = require("ffi")
local error, tonumber, unpack = error, tonumber, unpack
local format = string.format
local cast = ffi.cast

local HEAD_BYTES, DIMENSION_BYTES = 8, 8
local head_t = ffi.typeof("const struct { uint8_t code, dimensions; uint16_t zero; uint32_t buffer;"
  .. " uint64_t shape[8]; } *")
local places_t = ffi.typeof("const struct { int64_t address; int64_t bytes; } *")
local address_t = ffi.typeof("int64_t")

local text, places, buffer_count = nil, nil, 0 -- the text owns the places
local used, used_count = {}, 0

local incoming = {}

local function refuse(...)
  error({ refused = format(...) }, 0)
end

function incoming.open(new_places)
  text, used_count = new_places, 0
  if not new_places then
    buffer_count = 0
    return nil
  end
  places, buffer_count, used = cast(places_t, new_places), #new_places / 16, {}
  return tonumber(places[0].address), tonumber(places[0].bytes)
end

local function buffer(number, size)
  if number >= buffer_count then
    refuse("an array in buffer %d of %d", number, buffer_count)
  end
  local bytes = tonumber(places[number].bytes)
  if bytes ~= size then
    refuse("an array of %.0f bytes in a buffer of %d", size, bytes)
  end
  if not used[number] then
    used[number], used_count = true, used_count + 1
  end
  return tonumber(places[number].address)
end

local function layout(kind, head, dimensions)
  if dimensions == 1 then return rules.layout(kind, tonumber(head.shape[0])) end
  local shape = {}
  for i = 1, dimensions do shape[i] = tonumber(head.shape[i - 1]) end
  return rules.layout(kind, unpack(shape))
end

function incoming.array(p, at, size)
  if size < HEAD_BYTES then refuse("the head of an array is %d bytes long", size) end
  local head = cast(head_t, p + at)
  local code = head.code
  local kind = rules.kinds[code]
  if not kind then refuse("an array of the unknown type %d", code) end
  local dimensions = head.dimensions
  if dimensions == 0 then refuse("a scalar array, which has no dimensions") end
  if dimensions > rules.dimensions_max or head.zero ~= 0 then
    refuse("the head of an array is damaged")
  end
  local first = HEAD_BYTES + dimensions * DIMENSION_BYTES
  if size < first then refuse("the data ends in the middle of an array") end
  local count, shape = layout(kind, head, dimensions)
  if not count then refuse("%s", shape) end
  local bytes, number = count * kind.size_bytes, head.buffer
  if size - first ~= (number == 0 and bytes or 0) then
    refuse("%d bytes behind the head of an array of %.0f", size - first, bytes)
  end
  if number > 0 then return arrays.receive(kind, count, shape, buffer(number, bytes)) end
  return arrays.receive_copy(kind, count, shape, cast(address_t, p + at + first))
end

function incoming.close()
  text = nil
  if buffer_count > 1 and used_count < buffer_count - 1 then
    refuse("%d buffers belong to no array", buffer_count - 1 - used_count)
  end
end

return incoming
