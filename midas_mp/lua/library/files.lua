-- The io table of a script: files as far as the process was granted some, and printed text; standard
-- input in the script's own process.  Returns what makes a fresh one.
local settings, output, engine = ...
local error, next, type, select, tostring = error, next, type, select, tostring
local setmetatable, native = setmetatable, io
local open_file, concat = io.open, table.concat
local find, gmatch, sub = string.find, string.gmatch, string.sub

local DESCRIPTOR = ": a descriptor of Midas' own process cannot be opened; print and io.write reach"
  .. " the user"

local OF_A_PROCESS = ": what the kernel knows of a process cannot be read"

local may_read, may_write = settings.read_refusal == "", settings.write_refusal == ""
local NO_READING = "reading files " .. settings.read_refusal
local NO_WRITING = "writing files " .. settings.write_refusal

local function unavailable(name, why)
  return function()
    error("io." .. name .. " is not available in a " .. settings.place .. (why or ""), 2)
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

for _, name in ipairs({ "read", "input", "output", "popen", "tmpfile", "close" }) do
  io[name] = unavailable(name)
end
for _, name in ipairs({ "open", "lines" }) do
  io[name] = unavailable(name, ": " .. NO_READING
    .. (settings.is_driver and "" or "; generate_data and interpret_results may use files"))
end

-- Why a path is not opened, if so, whatever the kernel would say, which is nothing where it is old:
--   one of this process' descriptors; but standard input is everybody's.  What is printed goes through
--   a pipe among them, and whoever writes something else there, or reads it, has broken the agreement
--   with the parent;
--   the environment or the memory of a process, where its secrets are.
local function path_problem(path)
  if type(path) ~= "string" then return nil end
  local parts, n, is_absolute = {}, 0, sub(path, 1, 1) == "/"
  local stop = find(path, "\0", 1, true) -- where the path ends for C
  for part in gmatch(stop and sub(path, 1, stop - 1) or path, "[^/]+") do
    if part == ".." then
      is_absolute = is_absolute or n == 0 -- above the working directory is the root, in the end
      n = n > 0 and n - 1 or 0
    elseif part ~= "." then
      n = n + 1
      parts[n] = part
    end
  end
  local plain = concat(parts, "/", 1, n)
  if not is_absolute then return nil end
  if find(plain, "^proc/.+/environ$") or find(plain, "^proc/.+/mem$") then return OF_A_PROCESS end
  -- "/dev/fd" is a link into /proc, and ".." behind it begins there
  if find(path, "fd/+%.%./") and (find(plain, "environ$") or find(plain, "mem$")) then
    return OF_A_PROCESS
  end
  if find(plain, "/fd/0$") then return nil end
  if find(plain, "^dev/fd/%d+$") or find(plain, "^dev/stdout$") or find(plain, "^dev/stderr$")
      or find(plain, "^proc/.*/fd/%d+$") then
    return DESCRIPTOR
  end
  return nil
end

local methods = {}

if may_read or may_write or settings.is_driver then
  -- A handle's methods are looked up in a table that no script can reach.
  local handles = debug.getregistry()["FILE*"]
  local native_methods = type(handles.__index) == "table" and handles.__index or handles
  for _, name in ipairs({ "close", "flush", "lines", "read", "seek", "setvbuf", "write" }) do
    methods[name] = native_methods[name]
  end
  handles.__index, handles.__metatable = methods, false
end

if settings.is_driver then io.read, io.stdin = native.read, native.stdin end

if may_read or may_write then
  local seek, close = methods.seek, methods.close

  -- The page on which a process says what it runs, and since when, is a file without a name.
  -- /proc/self/fd leads to it, past all that the kernel refuses: who wrote there would never be
  -- found to be late.
  local function problem_of(file, path)
    if not seek(file) then return ": only files can be written" end -- pipes cannot seek
    if engine.is_status_page(file, path) then return ": Permission denied" end
    return nil
  end

  function io.open(path, mode)
    mode = mode or "r"
    if type(mode) ~= "string" or not find(mode, "^[rwa]%+?b?$") then
      error("bad argument #2 to 'open' (invalid mode)", 2)
    end
    local trouble = path_problem(path)
    if trouble then return nil, path .. trouble end
    if not may_write and find(mode, "[wa+]") then return nil, tostring(path) .. ": " .. NO_WRITING end
    if not may_read and find(mode, "[r+]") then return nil, tostring(path) .. ": " .. NO_READING end
    local file, message, code = open_file(path, mode)
    local problem = file and find(mode, "[wa+]") and problem_of(file, path)
    if problem then
      close(file)
      return nil, path .. problem
    end
    return file, message, code
  end

  -- Without an argument Lua's own would close the process' stdout.
  function io.close(file)
    return close(file)
  end
end

if may_read then
  local lines = native.lines

  function io.lines(path, ...)
    local trouble = path_problem(path)
    if trouble then error(path .. trouble, 2) end
    return lines(path, ...)
  end
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
