-- Builds one locked Lua state: loads the library, then takes everything else out of the world.
--
-- Called once, by Python, with the library's sources and the job's settings; returns the doors.
local sources, settings = ...

local function use(name, ...)
  return assert(load(sources[name], "=[midas " .. name .. "]", "t"))(...)
end

local output = use("luajit_output", settings)
local encoder, decode = use("luajit_encode", settings), use("luajit_decode", settings)
local files = use("files", settings, output)
local libraries = use("libraries", settings, output, files, use("bit32"), use("utf8"))
local environment = use("environment", settings, libraries)
local reasons = use("explain", settings)
local doors = use("calls", settings, encoder, decode, reasons.explain, use("failure", settings),
  environment, output, use("luajit_seed", settings.seed_low, settings.seed_high), libraries,
  use("shared", reasons.show_key))

-- The real globals: no script is ever run in them, yet whatever finds a way there must find
-- nothing.  lupa looks up `debug` before every call.
local registry, real = debug.getregistry(), _G
local pairs, traceback = pairs, debug.traceback
for _, key in ipairs({ "_LOADED", "_PRELOAD", "_LOADLIB", "_CLIBS", "Py_None", "eval", "builtins" }) do
  registry[key] = nil
end
for _, gone in ipairs({ package.loaded, package, debug, io, os, jit, python or {} }) do
  for key in pairs(gone) do gone[key] = nil end
end
for key in pairs(real) do real[key] = nil end
real.debug = { traceback = traceback }

return doors.compile, doors.call, doors.start, doors.config_after_failure, doors.store,
  doors.store_error, doors.share, doors.watch_shared, doors.check_shared, doors.forget
