-- The buffers beside a payload's msgpack, for the engines of PUC-Rio: strings.
--
--   buffers.open(list)          those of what comes, from number 1 on, or nil
--   buffers.array(text, at, size) -> the array of which so much says a msgpack ext
--   buffers.close()             each of them must have been an array by now
--
--   buffers.start(), buffers.next()
--   buffers.describe(a, kind) -> the data of the ext that stands for it
--   buffers.mark(), buffers.drop(), buffers.finish() -> list or nil     as in luajit_outgoing.lua
--
-- What comes may come from a stranger: all is checked, then an array is made.  Raises a table
-- {refused = text}.
local settings, rules, arrays = ...
local error, concat = error, table.concat
local format, pack, unpack, sub, rep = string.format, string.pack, string.unpack, string.sub, string.rep
local table_unpack = table.unpack

local BUFFERS_MAX = settings.payload_buffers_max
local INLINE_BYTES_MAX = settings.inline_array_bytes_max
local HEAD, HEAD_BYTES, DIMENSION_BYTES = "<BBI2I4", 8, 8

local buffers = {}

local function refuse(...)
  error({ refused = format(...) }, 0)
end

-- -- what comes -----------------------------------------------------------------------------------

local incoming, used, used_count = {}, {}, 0

function buffers.open(list)
  incoming, used, used_count = list or {}, {}, 0
end

local function take_buffer(number, size)
  local text = incoming[number]
  if not text then refuse("an array in buffer %d of %d", number, #incoming + 1) end
  if #text ~= size then refuse("an array of %.0f bytes in a buffer of %d", size, #text) end
  if not used[number] then
    used[number], used_count = true, used_count + 1
  end
  return text
end

-- Beyond 2^63 they read as negative.
local function take_shape(text, at, dimensions)
  local shape = { unpack("<" .. rep("i8", dimensions), text, at) }
  shape[dimensions + 1] = nil
  for i = 1, dimensions do
    if shape[i] < 0 then refuse("an array of a dimension beyond 2^63") end
  end
  return shape
end

function buffers.array(text, at, size)
  if size < HEAD_BYTES then refuse("the head of an array is %d bytes long", size) end
  local code, dimensions, zero, number = unpack(HEAD, text, at)
  local kind = rules.kinds[code]
  if not kind then refuse("an array of the unknown type %d", code) end
  if dimensions == 0 then refuse("a scalar array, which has no dimensions") end
  if dimensions > rules.dimensions_max or zero ~= 0 then
    refuse("the head of an array is damaged")
  end
  local first = HEAD_BYTES + dimensions * DIMENSION_BYTES
  if size < first then refuse("the data ends in the middle of an array") end
  local count, shape =
    rules.layout(kind, table_unpack(take_shape(text, at + HEAD_BYTES, dimensions)))
  if not count then refuse("%s", shape) end
  local bytes = count * kind.size_bytes
  if size - first ~= (number == 0 and bytes or 0) then
    refuse("%d bytes behind the head of an array of %.0f", size - first, bytes)
  end
  if number > 0 then return arrays.receive(kind, count, shape, take_buffer(number, bytes)) end
  return arrays.receive(kind, count, shape, sub(text, at + first, at + size - 1))
end

function buffers.close()
  local given = #incoming
  incoming = {}
  if used_count < given then refuse("%d buffers belong to no array", given - used_count) end
end

-- -- what goes ------------------------------------------------------------------------------------

local outgoing, count, bytes = {}, 0, 0
local marked_count, marked_bytes = 0, 0
local numbers = {} -- array -> its number, of those of this value

function buffers.next()
  if count > 0 then numbers = {} end
end

function buffers.bytes()
  return bytes
end

function buffers.mark()
  marked_count, marked_bytes = count, bytes
end

function buffers.drop()
  for i = marked_count + 1, count do outgoing[i] = nil end
  count, bytes, numbers = marked_count, marked_bytes, {}
end

function buffers.start()
  marked_count, marked_bytes = 0, 0
  buffers.drop()
end

local function number_of(a, text)
  local number = numbers[a]
  if number then return number end
  if #text < INLINE_BYTES_MAX or count >= BUFFERS_MAX then return 0 end
  count, bytes = count + 1, bytes + #text
  outgoing[count], numbers[a] = text, count
  return count
end

function buffers.describe(a, kind)
  local shape, text = arrays.shape_of(a), arrays.text(a)
  local number = number_of(a, text)
  local head = pack(HEAD, kind.code, #shape, 0, number)
    .. pack("<" .. rep("I8", #shape), table_unpack(shape))
  return number == 0 and head .. text or head
end

function buffers.finish()
  buffers.drop()
  if count == 0 then return nil end
  local list = outgoing
  outgoing, count = {}, 0
  buffers.start()
  return list
end

function buffers.forget() end

return buffers
