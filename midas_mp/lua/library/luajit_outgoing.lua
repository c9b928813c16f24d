-- The buffers of a result, beside its msgpack, for LuaJIT.
--
--   outgoing.start()              a payload comes
--   outgoing.next(is_last)        a value comes; whether it is the last of its payload
--   outgoing.describe(a, kind)    -> bytes of outgoing.head to be sent, bytes of elements behind it
--   outgoing.mark()               the value was added whole
--   outgoing.drop()               what came after the last mark is not sent
--   outgoing.finish() -> places   (address, bytes, offset) of each buffer in a string, the offset -1
--                                 where it is not in shared memory; nil: there are none
--   outgoing.forget()             the caller has read them
--
-- What a script may still write to is copied: its next item may change an array that the last one
-- returned.
local settings, arrays, outbound = ...
local ffi = require("ffi")
local cast, copy, to_string, new = ffi.cast, ffi.copy, ffi.string, ffi.new
local address_of, count_of, shape_of = arrays.address, arrays.count, arrays.shape_of

local BUFFERS_MAX = settings.payload_buffers_max
local INLINE_BYTES_MAX = settings.inline_array_bytes_max
local HEAD_BYTES, DIMENSION_BYTES = 8, 8

local places_t, bytes_t = ffi.typeof("int64_t[?]"), ffi.typeof("uint8_t *")
local head = new("struct { uint8_t code, dimensions; uint16_t zero; uint32_t buffer;"
  .. " uint64_t shape[8]; }")

local count, bytes, is_last = 0, 0, true
local marked_count, marked_bytes = 0, 0
local held, addresses, sizes, offsets = {}, {}, {}, {}
local numbers = {} -- array -> its number, of those of this value

local outgoing = { head = cast(bytes_t, head) }

function outgoing.next(is_last_value)
  is_last = is_last_value
  if count > 0 then numbers = {} end
end

local function append(a, address, size, offset)
  count, bytes = count + 1, bytes + size
  held[count], addresses[count], sizes[count], offsets[count] = a, address, size, offset
  return count
end

-- Shared memory takes a copy where the script's world may outlive the task, or the next item of a
-- batch follows; else the array itself is handed over when all is well.
local function attach(a, size)
  if is_last and arrays.is_outbound(a) then
    return append(a, address_of(a), size, outbound.offset(address_of(a)))
  end
  local block = outbound and outbound.take(size)
  if block then
    copy(cast(bytes_t, block), cast(bytes_t, address_of(a)), size)
    return append(false, block, size, outbound.offset(block))
  end
  if not is_last and not arrays.is_received(a) then a = arrays.own_copy(a) end
  return append(a, address_of(a), size, -1)
end

local function number_of(a, size)
  local number = numbers[a]
  if number then return number end
  if size < INLINE_BYTES_MAX or count >= BUFFERS_MAX then return 0 end
  number = attach(a, size)
  numbers[a] = number
  return number
end

function outgoing.describe(a, kind)
  local shape, size = shape_of(a), count_of(a) * kind.size_bytes
  local dimensions = #shape
  head.code, head.dimensions, head.buffer = kind.code, dimensions, number_of(a, size)
  for i = 1, dimensions do head.shape[i - 1] = shape[i] end
  return HEAD_BYTES + dimensions * DIMENSION_BYTES, head.buffer == 0 and size or 0
end

function outgoing.bytes()
  return bytes
end

function outgoing.mark()
  marked_count, marked_bytes = count, bytes
end

function outgoing.drop()
  for i = marked_count + 1, count do
    if not held[i] then outbound.give_back(addresses[i]) end
  end
  count, bytes, numbers = marked_count, marked_bytes, {}
end

function outgoing.start()
  marked_count, marked_bytes = 0, 0
  outgoing.drop()
end

function outgoing.finish()
  outgoing.drop()
  if count == 0 then return nil end
  local places = new(places_t, 3 * count)
  for i = 1, count do
    places[3 * i - 3], places[3 * i - 2], places[3 * i - 1] = addresses[i], sizes[i], offsets[i]
    if offsets[i] >= 0 then outbound.let_out(sizes[i]) end
    if offsets[i] >= 0 and held[i] then arrays.hand_over(held[i]) end
  end
  local text = to_string(places, 24 * count)
  count, bytes, marked_count, marked_bytes, numbers = 0, 0, 0, 0, {}
  return text
end

function outgoing.forget()
  for i = 1, #held do held[i] = nil end
end

return outgoing
