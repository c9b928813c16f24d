-- The io table of a script: reading (and, where the kernel confines it, writing) files in the
-- driver's script process, nothing but printed text in a worker.  Returns what makes a fresh one.
local settings, output, engine = ...
local error, next, type, select, tostring = error, next, type, select, tostring
local setmetatable, native = setmetatable, io
local open_file, find = io.open, string.find

local function unavailable(name)
  return function()
    error("io." .. name .. " is not available in a " .. settings.place .. settings.files_hint, 2)
  end
end

local function write(...)
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    local kind = type(text)
    if kind ~= "string" and kind ~= "number" then
      error("bad argument #" .. i .. " to 'write' (string expected, got " .. kind .. ")", 3)
    end
    output.write(kind == "number" and tostring(text) or text)
  end
end

-- What io.stdout and io.stderr are: both lead to the user's stderr, as print does.
local printed = { write = function(self, ...) write(...) return self end }
function printed.flush() output.flush() return true end
function printed.close() return nil, "the output of a script cannot be closed" end
function printed.setvbuf() return true end
local of_streams = { __index = printed, __newindex = unavailable("stdout"), __metatable = false }

local io = { type = native.type, flush = output.flush }

for _, name in ipairs({ "open", "lines", "read", "input", "output", "popen", "tmpfile", "close" }) do
  io[name] = unavailable(name)
end

if settings.may_read_files then
  -- A handle's methods are looked up in a table that no script can reach.
  local handles, methods = debug.getregistry()["FILE*"], {}
  local native_methods = type(handles.__index) == "table" and handles.__index or handles
  for _, name in ipairs({ "close", "flush", "lines", "read", "seek", "setvbuf", "write" }) do
    methods[name] = native_methods[name]
  end
  handles.__index, handles.__metatable = methods, false

  -- The page on which a process says what it runs, and since when, is a file without a name.
  -- /proc/self/fd leads to it, past all that the kernel refuses: who wrote there would never be
  -- found to be late.
  function io.open(path, mode)
    mode = mode or "r"
    if type(mode) ~= "string" or not find(mode, "^[rwa]%+?b?$") then
      error("bad argument #2 to 'open' (invalid mode)", 2)
    end
    if not settings.may_write_files and find(mode, "[wa+]") then
      return nil, tostring(path) .. ": writing files needs landlock, which this machine lacks"
    end
    local file, message, code = open_file(path, mode)
    if file and find(mode, "[wa+]") and engine.is_status_page(file, path) then
      methods.close(file)
      return nil, tostring(path) .. ": Permission denied"
    end
    return file, message, code
  end

  -- Without an argument Lua's own would close the process' stdout.
  function io.close(file)
    return methods.close(file)
  end

  io.lines, io.read, io.stdin = native.lines, native.read, native.stdin
end

-- Whoever has a stream can rawset it, so each environment has its own.
return function()
  local stdout, stderr = setmetatable({}, of_streams), setmetatable({}, of_streams)
  local fresh = {
    stdout = stdout, stderr = stderr, write = function(...) write(...) return stdout end,
  }
  for name, value in next, io do fresh[name] = value end
  return fresh
end
