-- midas.array for the engines of PUC-Rio: an empty table that stands for elements which a script
-- cannot reach.  The interface is told in luajit_array.lua; for the codec there is, instead:
--
--   arrays.receive(kind, count, shape, text)    an array of the elements in the text
--   arrays.text(v) -> the elements of v, packed
--
-- Elements are text until somebody writes to one: then a table of all.
local settings, rules, engine, room = ...
local error, next, setmetatable, type = error, next, setmetatable, type
local set_any_metatable, math_type, tointeger = debug.setmetatable, math.type, math.tointeger
local concat, move, table_unpack = table.concat, table.move, table.unpack
local floor, format = math.floor, string.format
local pack, unpack, rep = string.pack, string.unpack, string.rep
local new_table = engine.new_table

local FORMS = { float64 = "d", float32 = "f", int8 = "i1", int16 = "i2", int32 = "i4", int64 = "i8",
  uint8 = "I1", uint16 = "I2", uint32 = "I4", uint64 = "I8" }
local CHUNK = 128 -- elements at a time
local VALUE_BYTES = 16 -- of an element in a table

local one, many = {}, {} -- kind -> how an element is packed, and a chunk of them
for name, form in next, FORMS do
  local kind = rules.kinds[name]
  one[kind], many[kind] = "<" .. form, "<" .. rep(form, CHUNK)
end

-- array -> { kind, count, shape, is_fixed, text or values }
local states = setmetatable({}, { __mode = "k" })
local received, received_count, shared = {}, 0, {}
local arrays, methods, of_arrays = {}, {}, { __metatable = false }

-- -- elements -------------------------------------------------------------------------------------

local function packed(s)
  if s.text then return s.text end
  room.claim(2 * s.count * s.kind.size_bytes) -- the pieces, and the whole
  local pieces, n, values, kind = {}, 0, s.values, s.kind
  local first, whole = 1, many[kind]
  while first + CHUNK - 1 <= s.count do
    n = n + 1
    pieces[n] = pack(whole, table_unpack(values, first, first + CHUNK - 1))
    first = first + CHUNK
  end
  local form = one[kind]
  for i = first, s.count do
    n = n + 1
    pieces[n] = pack(form, values[i])
  end
  return concat(pieces)
end

local function unpacked(s)
  room.claim(s.count * VALUE_BYTES)
  local values, text, kind = new_table(s.count, 0), s.text, s.kind
  local first, at, whole = 1, 1, many[kind]
  while first + CHUNK - 1 <= s.count do
    move({ unpack(whole, text, at) }, 1, CHUNK, first, values)
    first, at = first + CHUNK, at + CHUNK * kind.size_bytes
  end
  local form = one[kind]
  for i = first, s.count do values[i], at = unpack(form, text, at) end
  return values
end

-- What is read of an integer of 64 bits need not be a number that every engine has.
local function within(s, k, x)
  local kind = s.kind
  if x < kind.least or x > kind.most then error(format(rules.BEYOND, k), 3) end
  return x
end

local function is_index(s, k)
  return math_type(k) and k >= 1 and k <= s.count and floor(k) == k
end

function of_arrays.__index(a, k)
  local s = states[a]
  local x
  if s.values then x = s.values[k] end
  if x == nil then
    if is_index(s, k) then
      x = unpack(one[s.kind], s.text, (floor(k) - 1) * s.kind.size_bytes + 1)
    elseif k == "type" then return s.kind.name
    elseif k == "shape" then return arrays.shape_of(a)
    elseif methods[k] then return methods[k]
    else error(type(k) == "string" and rules.bad_field(k) or rules.bad_index(k, s.count), 2)
    end
  end
  if s.kind.is_wide then return within(s, k, x) end
  return x
end

local function refuses(kind, x)
  if not math_type(x) then return true end
  return kind.least and not (x >= kind.least and x <= kind.most and floor(x) == x)
end

-- As it will be read.
local function stored(kind, x)
  if kind.least then return tointeger(x) end
  if kind.size_bytes == 4 then return (unpack("<f", pack("<f", x))) end
  return x * 1.0 -- which keeps the sign of 0
end

function of_arrays.__newindex(a, k, x)
  local s = states[a]
  if s.is_fixed then error(rules.READ_ONLY, 2) end
  if type(k) == "string" then error(rules.bad_field(k), 2) end
  if not is_index(s, k) then error(rules.bad_index(k, s.count), 2) end
  if refuses(s.kind, x) then error(rules.bad_value(s.kind, x), 2) end
  if s.text then s.values, s.text = unpacked(s), nil end
  s.values[k] = stored(s.kind, x)
end

function of_arrays.__len(a)
  return states[a].count
end

function of_arrays.__tostring(a)
  local s = states[a]
  return rules.describe(s.kind, s.count, s.shape)
end

function of_arrays.__pairs()
  error(rules.NO_TABLE, 2)
end

local function refuse_gone()
  error(rules.GONE, 2)
end

local gone = { __metatable = false, __index = refuse_gone, __newindex = refuse_gone,
  __len = refuse_gone, __pairs = refuse_gone }

function gone.__tostring(a)
  return states[a].kind.name .. " array that is gone"
end

-- -- making ---------------------------------------------------------------------------------------

local function whole_shape(shape)
  if not shape then return nil end
  for i = 1, #shape do shape[i] = tointeger(shape[i]) end
  return shape
end

local function make(kind, count, shape, text)
  local a = {}
  states[a] = { kind = kind, count = tointeger(count), shape = whole_shape(shape), text = text,
    is_fixed = false }
  return setmetatable(a, of_arrays)
end

local function kind_of(v)
  local s = states[v]
  return s and s.kind
end

local function is_gone(a)
  return states[a].is_gone or false
end

function methods.copy(a)
  local s = states[a]
  if not s then error("bad argument #1 to 'copy' (array expected, got " .. type(a) .. ")", 2) end
  if s.is_gone then error(rules.GONE, 2) end
  return make(s.kind, s.count, s.shape, packed(s))
end

function arrays.new(name, ...)
  local kind, count, shape, given = rules.request(kind_of, name, ...)
  if not kind then error("midas.array: " .. count, 2) end
  if not given then
    local size = tointeger(count * kind.size_bytes)
    room.claim(2 * size) -- Lua makes a string in a buffer first
    return make(kind, count, shape, rep("\0", size))
  end
  room.claim(count * VALUE_BYTES)
  local values = new_table(tointeger(count), 0)
  for i = 1, count do
    local x = given[i]
    if refuses(kind, x) then
      error(format("midas.array: value %d: %s", i, rules.bad_value(kind, x)), 2)
    end
    values[i] = stored(kind, x)
  end
  local a = make(kind, count, shape)
  states[a].values = values
  return a
end

-- -- what was received ----------------------------------------------------------------------------

function arrays.receive(kind, count, shape, text)
  local a = make(kind, count, shape, text)
  if not settings.is_driver then
    states[a].is_fixed = true
    received_count = received_count + 1
    received[received_count] = a
  end
  return a
end

local function let_go(a)
  local s = states[a]
  s.is_gone, s.text, s.values = true, nil, nil
  set_any_metatable(a, gone)
end

function arrays.end_task()
  for i = 1, received_count do
    let_go(received[i])
    received[i] = nil
  end
  received_count = 0
end

function arrays.keep_received()
  shared, received, received_count = received, {}, 0
end

function arrays.forget_shared()
  for _, a in next, shared do let_go(a) end
  shared = {}
end

-- -- for the codec and the libraries --------------------------------------------------------------

arrays.kind_of, arrays.is_gone = kind_of, is_gone

function arrays.text(a) return packed(states[a]) end

function arrays.count(a) return states[a].count end

function arrays.shape_of(a)
  local s = states[a]
  if not s.shape then return { s.count } end
  return { table_unpack(s.shape) }
end

local function step(a, i)
  i = i + 1
  if i <= #a then return i, a[i] end
end

function arrays.ipairs(v)
  if not states[v] then return nil end
  return step, v, 0
end

return arrays
