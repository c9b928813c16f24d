-- The library tables that a script sees: allow-lists of Lua's own, and Midas' additions.
--
-- Returns makers: name -> function that makes a fresh table.  A script may do to its copy what it
-- likes; the functions in it are shared, and cannot be changed.
local settings, output, make_io, engine, bit32, utf8, arrays = ...
local real_globals = _G
local error, next, select, tostring, type = error, next, select, tostring, type
local ipairs = ipairs
local find, gmatch, sort = string.find, string.gmatch, table.sort
local new_table = engine.new_table
local coresume, cocreate, coclose = coroutine.resume, coroutine.create, coroutine.close

-- -- allow-lists ---------------------------------------------------------------------------------

local ALLOWED = {
  string = "byte char find format gmatch gsub len lower match rep reverse sub upper",
  table = "concat insert move remove sort",
  math = "abs acos asin atan ceil cos deg exp floor fmod huge log max min modf pi rad random"
    .. " randomseed sin sqrt tan",
  os = "clock date difftime time",
  coroutine = "create isyieldable running status yield",
  debug = "traceback",
}

local FORBIDDEN = {
  os = "execute exit getenv remove rename setlocale tmpname",
}

local function unavailable(name, why)
  return function() error(name .. " is not available in a " .. settings.place .. (why or ""), 2) end
end

local function take(list, library, names)
  local real = real_globals[library]
  for name in gmatch(names or "", "%S+") do list[name] = real[name] end
end

local function allowed(library)
  local list = {}
  for name, addition in next, engine.additions[library] or {} do list[name] = addition end
  take(list, library, ALLOWED[library])
  take(list, library, engine.names[library])
  for name in gmatch(FORBIDDEN[library] or "", "%S+") do
    list[name] = unavailable(library .. "." .. name)
  end
  return list
end

local function maker(list)
  local size = 0
  for _ in next, list do size = size + 1 end
  return function()
    local copy = new_table(0, size)
    for name, value in next, list do copy[name] = value end
    return copy
  end
end

local lists = {}
for library in next, ALLOWED do lists[library] = allowed(library) end
for library in next, engine.names do lists[library] = lists[library] or allowed(library) end
lists.bit32, lists.utf8 = bit32, utf8
if settings.clock_refusal ~= "" then
  for _, name in ipairs({ "clock", "date", "time" }) do
    lists.os[name] = unavailable("os." .. name, ": the clock " .. settings.clock_refusal)
  end
end
lists.table.unpack = engine.unpack

function lists.table.pack(...)
  return { n = select("#", ...), ... }
end

-- -- coroutines ----------------------------------------------------------------------------------
-- LuaJIT dies with SIGSEGV when resumes nest without end (LuaJIT#619): count them.

local resume_depth, RESUME_DEPTH_MAX = 0, settings.coroutine_depth_max

local function leave(...)
  resume_depth = resume_depth - 1
  return ...
end

local function resume(co, ...)
  if resume_depth >= RESUME_DEPTH_MAX then return false, "too many nested coroutines" end
  resume_depth = resume_depth + 1
  return leave(coresume(co, ...))
end

-- As Lua's own: a coroutine that failed is closed, where there is something to close.
local function pass_on(co, ok, ...)
  if ok then return ... end
  if coclose then coclose(co) end
  error((...), 0)
end

lists.coroutine.resume = resume

function lists.coroutine.wrap(f)
  local co = cocreate(f)
  return function(...) return pass_on(co, resume(co, ...)) end
end

-- -- midas, and its compatibility names ----------------------------------------------------------

local calls = {}

function calls.print(...)
  local parts, n = "", select("#", ...)
  for i = 1, n do
    local text = tostring((select(i, ...)))
    if type(text) ~= "string" then error("'tostring' must return a string to 'print'", 2) end
    parts = i == 1 and text or parts .. "\t" .. text
  end
  output.print(parts)
end

-- For engines that have it.  Control messages ("@on", "@off") are nobody's matter here.
function calls.warn(...)
  local text = ""
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    if type(part) ~= "string" and type(part) ~= "number" then
      error("bad argument #" .. i .. " to 'warn' (string expected, got " .. type(part) .. ")", 2)
    end
    text = text .. part
  end
  if find(text, "^@") then return end
  output.print("Lua warning: " .. text)
end

local PROGRESS_INTERVAL_S = 0.1

function calls.progress(fraction)
  if type(fraction) ~= "number" then error("midas.progress wants a number from 0 to 1", 2) end
  output.progress(fraction, PROGRESS_INTERVAL_S)
end

function calls.percent(percent, interval_ms)
  if type(percent) ~= "number" then error("_progress wants a number from 0 to 100", 2) end
  if interval_ms ~= nil and type(interval_ms) ~= "number" then
    error("_progress wants the interval as a number of milliseconds", 2)
  end
  output.progress(percent / 100, interval_ms and interval_ms / 1000 or PROGRESS_INTERVAL_S)
end

-- Nothing to do: deadlines and cancelling come from outside.  Scripts of the first Midas call it.
function calls.check() end

local RANK = { number = 1, string = 2, boolean = 3 }

local function precedes(a, b)
  local kind_a, kind_b = type(a), type(b)
  if kind_a ~= kind_b then return RANK[kind_a] < RANK[kind_b] end
  if kind_a == "boolean" then return b and not a end
  return a < b
end

-- Numbers ascending, then strings by their bytes, then false and true.
function calls.sorted_pairs(t)
  if type(t) ~= "table" then error("midas.sorted_pairs wants a table", 2) end
  local keys, n = {}, 0
  for k in next, t do
    if not RANK[type(k)] then error("midas.sorted_pairs cannot order a " .. type(k) .. " key", 2) end
    n = n + 1
    keys[n] = k
  end
  sort(keys, precedes)
  local i = 0
  return function()
    i = i + 1
    local k = keys[i]
    if k ~= nil then return k, t[k] end
  end
end

lists.midas = {
  print = calls.print, progress = calls.progress, check = calls.check,
  sorted_pairs = calls.sorted_pairs, array = arrays.new,
  worker = settings.worker, node = settings.node, seed = settings.seed, dir = settings.directory,
}

lists.arg = settings.arg

local makers = { io = make_io }
for name, list in next, lists do makers[name] = maker(list) end

return {
  makers = makers, string = lists.string, calls = calls, unavailable = unavailable,
  reset = function() resume_depth = 0 end,
}
