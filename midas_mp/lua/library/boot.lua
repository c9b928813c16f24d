-- Builds one locked Lua state: loads the library, then takes everything else out of the world.
--
-- Called once, by Python, with the library's sources and the job's settings; returns the doors.
-- What an engine does in its own way is in files of its own: settings.engine begins their names.
local sources, settings = ...
local assert, load = assert, load -- some files are loaded when they are first needed

local function use(name, ...)
  return assert(load(sources[name], "=[midas " .. name .. "]", "t"))(...)
end

local function use_own(name, ...)
  return use(settings.engine .. "_" .. name, ...)
end

local engine = use_own("engine", use, settings)
local pipe = use_own("pipe", settings)
local output = use("output", settings, pipe, use("valve", settings, pipe.wall))
local rules = use("array_rules", settings)
local arrays, writer, reader = use_own("codec", use, settings, rules, engine)
local make_io = use("files", settings, output, engine)
local libraries = use("libraries", settings, output, make_io, engine, use("bit32", engine.bits),
  engine.utf8 or use("utf8"), arrays)
local environment = use("environment", settings, libraries, engine, arrays)
local reasons = use("explain", settings, engine, arrays)
local doors = use("calls", settings, arrays, writer, reader, reasons.explain, use("failure", settings),
  environment, output, use_own("seed", settings.seed_low, settings.seed_high), libraries,
  use("shared", reasons.show_key, arrays), engine)

-- The real globals: no script is ever run in them, yet whatever finds a way there must find
-- nothing.  lupa looks up `debug` before every call.
local registry, real = debug.getregistry(), _G
local pairs, traceback = pairs, debug.traceback
for _, key in ipairs({ "_LOADED", "_PRELOAD", "_LOADLIB", "_CLIBS", "Py_None", "eval", "builtins" }) do
  registry[key] = nil
end
for _, gone in ipairs({ package.loaded, package, debug, io, os, jit or {}, python or {} }) do
  for key in pairs(gone) do gone[key] = nil end
end
for key in pairs(real) do real[key] = nil end
real.debug = { traceback = traceback }

return doors.compile, doors.call, doors.batch, doors.start, doors.config_after_failure, doors.store,
  doors.store_error, doors.share, doors.watch_shared, doors.check_shared, doors.forget,
  doors.tell_dropped, doors.unload
