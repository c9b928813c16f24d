-- What the engines of PUC-Rio, 5.4 and 5.5, do in their own way: the interface is told in
-- luajit_engine.lua.
local use, settings = ...
local next, rawget = next, rawget
local upvaluejoin, math_type, unpack = debug.upvaluejoin, math.type, table.unpack
local open_file = io.open

local engine = {
  new_table = table.create or function() return {} end,
  unpack = unpack, number_kind = math_type, utf8 = utf8, additions = use("plain_additions"),
  names = {
    string = "pack packsize unpack",
    table = "create",
    math = "frexp ldexp maxinteger mininteger tointeger type ult",
    coroutine = "close",
  },
}

-- A cell of its own for each run: what an earlier run has defined keeps its world.
function engine.bind(chunk, env)
  upvaluejoin(chunk, 1, function() return env end, 1)
end

function engine.clear_table(t)
  for k in next, t do t[k] = nil end
end

-- It would run at any time, outside of the task that set it.  Only where a metatable is set do
-- these engines look whether it has one.
function engine.check_metatable(mt)
  if rawget(mt, "__gc") ~= nil then return "__gc is not available" end
  return nil
end

-- By its size and the mark on it: nothing else can be asked about a file here.
function engine.is_status_page(file, path)
  if settings.page_mark == "" then return false end
  local size = file:seek("end")
  if size then file:seek("set") end
  if size ~= settings.page_bytes then return false end
  local again = open_file(path, "rb")
  if not again then return true end -- whatever it is, nobody can say that it is not
  again:seek("set", settings.page_mark_offset)
  local mark = again:read(#settings.page_mark)
  again:close()
  return mark == settings.page_mark
end

-- -- numbers of 32 bits ---------------------------------------------------------------------------

local WORD_MASK, SIGN = 0xffffffff, 0x80000000
local bits = {}

function bits.tobit(x) return (x // 1 | 0) & WORD_MASK end
function bits.band(x, y) return x & y end
function bits.bor(x, y) return x | y end
function bits.bxor(x, y) return x ~ y end
function bits.bnot(x) return ~x end
function bits.lshift(x, by) return x << by end
function bits.rshift(x, by) return x >> by end
function bits.arshift(x, by) return ((x ~ SIGN) - SIGN) // (1 << by) end
function bits.rol(x, by) return x << by | x >> (32 - by) end

engine.bits = bits

return engine
