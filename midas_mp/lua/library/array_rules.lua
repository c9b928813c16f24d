-- What typed arrays are on every engine: their element types, and what is refused, in what words.
--
--   rules.kinds                       by name and by code: { name, code, size_bytes, … }
--   rules.layout(kind, dimensions…)   their product, and a table of them if they are several; or
--                                     nil and what is wrong with them
--   rules.request(is_array, type, …)  what midas.array was asked for; or nil and what is wrong
--   rules.bad_index(k, count), rules.bad_value(kind, x), rules.bad_field(k) -> a text
--
-- An integer element takes whole numbers in its range only; one of 64 bits reads as a number, so
-- within 2^53.  float32 rounds, and what is too large for it becomes infinite.
local settings = ...
local error, select, tostring, type = error, select, tostring, type
local format, huge, floor, max = string.format, math.huge, math.floor, math.max

local BYTES_MAX = settings.payload_bytes_max -- nothing larger could be sent
local DIMENSIONS_MAX = 8

local rules = {
  GONE = "this array belonged to a task that is over; a:copy() keeps it",
  READ_ONLY = "this array is read-only; a:copy() is yours to write",
  NO_TABLE = "an array is no table: use ipairs",
  dimensions_max = DIMENSIONS_MAX,
}

local function integer(name, code, size_bytes, least, most)
  return { name = name, code = code, size_bytes = size_bytes, least = least, most = most }
end

local ALL = {
  { name = "float64", code = 1, size_bytes = 8 },
  { name = "float32", code = 2, size_bytes = 4 },
  integer("int8", 3, 1, -0x80, 0x7f),
  integer("int16", 4, 2, -0x8000, 0x7fff),
  integer("int32", 5, 4, -0x80000000, 0x7fffffff),
  integer("uint8", 6, 1, 0, 0xff),
  integer("uint16", 7, 2, 0, 0xffff),
  integer("uint32", 8, 4, 0, 0xffffffff),
  integer("int64", 9, 8, -settings.integer_max, settings.integer_max),
  integer("uint64", 10, 8, 0, settings.integer_max),
}

local kinds = {}
for _, kind in next, ALL do
  kind.is_wide = kind.least and kind.size_bytes == 8 or false
  kinds[kind.name], kinds[kind.code] = kind, kind
end
rules.kinds = kinds

local function no_kind(name)
  return format("there is no array of %s: the types are float64, float32, int8 to int64 and uint8 to"
    .. " uint64", type(name) == "string" and "'" .. name .. "'" or "a " .. type(name))
end

local function bad_dimension(n)
  if type(n) == "number" and n == floor(n) and n >= 0 and n <= settings.integer_max then return nil end
  return format("an array has whole dimensions of 0 or more, not %s", tostring(n))
end

function rules.layout(kind, first, ...)
  local problem = bad_dimension(first)
  if problem then return nil, problem end
  local count, shape, more = first, nil, select("#", ...)
  local bound = 1.0 * max(first, 1) -- without dimensions of 0; a float does not overflow
  if more > 0 then
    if more >= DIMENSIONS_MAX then
      return nil, format("an array has at most %d dimensions", DIMENSIONS_MAX)
    end
    shape = { first, ... }
    for i = 2, more + 1 do
      problem = bad_dimension(shape[i])
      if problem then return nil, problem end
      count, bound = count * shape[i], bound * max(shape[i], 1)
    end
  end
  bound = bound * kind.size_bytes
  -- Of no elements there may be more: NumPy, too, leaves out dimensions of 0 where it counts.
  if bound > BYTES_MAX and (count > 0 or bound > settings.integer_max) then
    return nil, format("an array of %.0f bytes is larger than %d MB", bound, BYTES_MAX / 2 ^ 20)
  end
  return count, shape
end

-- What midas.array was asked for: kind, count, shape and the table or array that has the values.
function rules.request(is_array, name, first, ...)
  local kind = type(name) == "string" and kinds[name]
  if not kind then return nil, no_kind(name) end
  if type(first) ~= "table" and not is_array(first) then
    local count, shape = rules.layout(kind, first, ...)
    if not count then return nil, shape end
    return kind, count, shape
  end
  local count, shape = rules.layout(kind, #first)
  if count and select("#", ...) > 0 then count, shape = rules.layout(kind, ...) end
  if not count then return nil, shape end
  if count ~= #first then
    return nil, format("%d values do not fill an array of %d", #first, count)
  end
  return kind, count, shape, first
end

function rules.bad_index(k, count)
  if type(k) ~= "number" then return format("a %s is no index of an array", type(k)) end
  if k ~= floor(k) then return format("%.14g is no index of an array: it is not whole", k) end
  return format("index %.14g is outside of an array of length %d", k, count)
end

function rules.bad_value(kind, x)
  if type(x) ~= "number" then return format("a %s cannot be in an array of %s", type(x), kind.name) end
  if x ~= floor(x) or x == huge or x == -huge then
    return format("%.14g cannot be in an array of %s: it is not whole", x, kind.name)
  end
  return format("%.17g cannot be in an array of %s: it goes from %.0f to %.0f", x, kind.name,
    kind.least, kind.most)
end

function rules.bad_field(k)
  if type(k) ~= "string" then return rules.bad_index(k, 0) end
  return format("an array has no field '%s'", k)
end

rules.BEYOND = "element %d is beyond 2^53: no Lua number is exactly that"

function rules.describe(kind, count, shape)
  if not shape then return format("%s array of %d", kind.name, count) end
  local text = tostring(shape[1])
  for i = 2, #shape do text = text .. " x " .. tostring(shape[i]) end
  return format("%s array of %s", kind.name, text)
end

return rules
