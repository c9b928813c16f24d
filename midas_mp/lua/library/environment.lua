-- The worlds in which scripts run: one environment at a time is current.
--
-- A fresh environment is one empty table that inherits from `base`.  base holds the global
-- functions; a library table is copied into it when a script first touches it, and taken out again
-- before the next environment, so that one task's `math.floor = nil` is gone with that task while
-- JIT-compiled code goes on finding the same shapes.  A whole environment inherits nothing.
--
--   environment.fresh(bundle)    a new inheriting one, now current
--   environment.kept(bundle)     the bundle's own one for the job, whole, now current
--   environment.set_context(bundle, index, count, round, attempt)
--   environment.set_index(index)
local settings, libraries, engine, arrays = ...
local error, next, rawequal, rawget, rawset = error, next, rawequal, rawget, rawset
local select, type = select, type
local setmetatable, getmetatable, set_any_metatable = setmetatable, getmetatable, debug.setmetatable
local load, collectgarbage, ipairs = load, collectgarbage, ipairs
local array_ipairs = arrays.ipairs
local byte, find, gmatch = string.byte, string.find, string.gmatch
local sort, concat = table.sort, table.concat
local bind, new_table, clear_table = engine.bind, engine.new_table, engine.clear_table

local BUILT_IN = "_VERSION assert error ipairs next pairs pcall rawequal rawget rawset select"
  .. " tonumber tostring type xpcall"

local makers, calls = libraries.makers, libraries.calls
local base, touched, touched_count = {}, {}, 0
local inheriting = { __index = base, __metatable = false }

local env, inherits = nil, false -- the current environment
local modules, loaded, loading = {}, nil, nil -- what require knows in it
local index, count, round, attempt = 0, 0, 0, 0

for name in gmatch(BUILT_IN, "%S+") do base[name] = _G[name] end
base.unpack = engine.unpack
base.print, base._print, base._progress, base._check =
  calls.print, calls.print, calls.percent, calls.check
if warn then base.warn = calls.warn end
base.dofile = libraries.unavailable("dofile", "; use require")
base.loadfile = libraries.unavailable("loadfile", "; use require")

-- Gives `target` all that it does not have; what a task has touched is taken as the task left it.
local function fill(target)
  for name, value in next, base do
    if rawget(target, name) == nil then target[name] = value end
  end
  for name, make in next, makers do
    if rawget(target, name) == nil then target[name] = make() end
  end
end

-- -- what a script may do to its own world --------------------------------------------------------

base.rawlen = rawlen or function(v)
  if type(v) ~= "table" and type(v) ~= "string" then error("table or string expected", 2) end
  return #v
end

-- Lua's own would stop at an array, or not stop at its end.
function base.ipairs(t)
  if type(t) == "table" then
    local step, a, first = array_ipairs(t)
    if step then return step, a, first end
    return ipairs(t)
  end
  local step, a, first = array_ipairs(t)
  if step then return step, a, first end
  error("bad argument #1 to 'ipairs' (table expected, got " .. type(t) .. ")", 2)
end

-- "collect" is a script's own time; tuning the collector would reach beyond its task.
function base.collectgarbage(what)
  if what == "count" then return collectgarbage("count") end
  if what == nil or what == "collect" then return collectgarbage("collect") end
  return 0
end

-- The strict.lua idiom, setmetatable(_G, ...): first the world gets everything it inherited.
function base.setmetatable(t, metatable)
  if type(metatable) == "table" then
    local problem = engine.check_metatable(metatable)
    if problem then error(problem, 2) end
  end
  if inherits and rawequal(t, env) and (metatable == nil or type(metatable) == "table") then
    fill(env)
    set_any_metatable(env, nil)
    inherits = false
  end
  return setmetatable(t, metatable)
end

function base.getmetatable(object)
  if inherits and rawequal(object, env) then return nil end
  return getmetatable(object)
end

function base.load(chunk, name, mode, ...)
  if type(chunk) ~= "string" then return nil, "only strings can be loaded" end
  if byte(chunk, 1) == 27 then return nil, "bytecode cannot be loaded" end
  if mode ~= nil and not find(mode, "t", 1, true) then return nil, "only text can be loaded" end
  local target = env
  if select("#", ...) > 0 then target = (...) end
  if type(target) ~= "table" then return nil, "an environment is a table" end
  return load(chunk, name or chunk, "t", target)
end

function base.loadstring(chunk, name)
  return base.load(chunk, name)
end

-- -- modules --------------------------------------------------------------------------------------

local EXTENSIONS = { ["table.new"] = new_table, ["table.clear"] = clear_table }

local function start_loading()
  loaded, loading = {}, {}
end

local function shipped()
  local names = {}
  for name in next, modules do names[#names + 1] = name end
  if #names == 0 then return "no modules were shipped with the script" end
  sort(names)
  return "shipped with the script: " .. concat(names, ", ")
end

local function run_module(name, chunk)
  loading[name] = true
  bind(chunk, env)
  local value = chunk(name)
  loading[name] = nil
  if value ~= nil then
    loaded[name] = value
  elseif rawget(loaded, name) == nil then
    loaded[name] = true
  end
  return rawget(loaded, name)
end

local function library(name)
  local value = rawget(env, name)
  if value == nil and inherits then value = base[name] end
  return value
end

function base.require(name)
  if type(name) ~= "string" then error("require wants the name of a module", 2) end
  if not loaded then start_loading() end
  local value = rawget(loaded, name)
  if value ~= nil then return value end
  if loading[name] then
    error("module '" .. name .. "' is being loaded already: its requires go round in a circle, or"
      .. " an earlier load failed", 2)
  end
  if modules[name] then return run_module(name, modules[name]) end
  value = EXTENSIONS[name] or (makers[name] and library(name))
  if value then return value end
  error("module '" .. name .. "' is missing (" .. shipped() .. "); a module that no literal"
    .. " require names must be listed in config.modules", 2)
end

-- -- libraries on first touch ---------------------------------------------------------------------

local make_midas = makers.midas

function makers.midas()
  local midas = make_midas()
  midas.index, midas.count, midas.round, midas.attempt = index, count, round, attempt
  return midas
end

function makers.package()
  if not loaded then start_loading() end
  return { loaded = loaded, path = "./?.lua;./?/init.lua", cpath = "", config = "/\n;\n?\n!\n-\n" }
end

function makers._G()
  return env
end

setmetatable(base, {
  __index = function(_, name)
    local make = makers[name]
    if make == nil then return nil end
    local value = make()
    touched_count = touched_count + 1
    touched[touched_count] = name
    base[name] = value
    return value
  end,
})

-- ("x"):method() finds Lua's own in a table that no script can reach, and what a script has added
-- to its copy of `string`.
local methods = libraries.string
local of_strings = getmetatable("")
of_strings.__index, of_strings.__metatable = methods, false
setmetatable(methods, {
  __index = function(_, name)
    local mine = rawget(env, "string") or (inherits and rawget(base, "string"))
    if type(mine) == "table" then return rawget(mine, name) end
    return nil
  end,
})

-- -- for calls.lua --------------------------------------------------------------------------------

local environment = {}

function environment.fresh(bundle)
  for i = 1, touched_count do base[touched[i]] = nil end
  touched_count = 0
  modules, loaded, loading = bundle.modules, nil, nil
  env, inherits = setmetatable(new_table(0, bundle.global_count), inheriting), true
  return env
end

function environment.kept(bundle)
  local world = bundle.world
  if world then
    env, inherits, modules = world.env, false, bundle.modules
    loaded, loading = world.loaded, world.loading
    return env, false
  end
  env, inherits, modules = {}, false, bundle.modules
  start_loading()
  fill(env)
  bundle.world = { env = env, loaded = loaded, loading = loading, midas = env.midas }
  return env, true
end

local nowhere = {}

function environment.forget(bundles)
  for i = 1, touched_count do base[touched[i]] = nil end
  touched_count = 0
  env, inherits, loaded, loading = nil, false, nil, nil
  for _, bundle in next, bundles do
    if not bundle.world then
      bind(bundle.main, nowhere)
      for _, chunk in next, bundle.modules do bind(chunk, nowhere) end
    end
  end
end

function environment.forget_global(bundle, name)
  if bundle.world then rawset(bundle.world.env, name, nil) end
end

function environment.set_context(bundle, new_index, new_count, new_round, new_attempt)
  index, count, round, attempt = new_index, new_count, new_round, new_attempt
  local world = bundle.world
  if world then
    local midas = world.midas
    rawset(midas, "index", index)
    rawset(midas, "count", count)
    rawset(midas, "round", round)
    rawset(midas, "attempt", attempt)
  end
end

-- Of the item of a batch that runs now.
function environment.set_index(new_index)
  index = new_index
  local midas = rawget(env, "midas") or rawget(base, "midas")
  if type(midas) == "table" then rawset(midas, "index", index) end
end

return environment
