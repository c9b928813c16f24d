-- What a person gets to read when a script fails: bounded text, and the script's own lines.
--
--   failure.describe(error value) -> text, running no metamethod
--   failure.traceback(level, entry name, entry function) -> text; "" when no script is running;
--                                                        a function without a name has an empty one
local limits = ...
local type, rawget, tostring = type, rawget, tostring
local format, gsub, sub = string.format, string.gsub, string.sub
local concat, floor = table.concat, math.floor
local getinfo = debug.getinfo

local FIRST_FRAMES, LAST_FRAMES = 12, 10 -- as many as Lua's own traceback shows

local function bounded(text, size)
  if #text <= size then return text end
  return sub(text, 1, size - 3) .. "..."
end

local function describe(e)
  local kind = type(e)
  if kind == "table" then
    e = rawget(e, "message") or rawget(e, 1)
    if type(e) ~= "string" then e = "(the error is a table value)" end
  elseif kind == "nil" or kind == "boolean" or kind == "number" then
    e = tostring(e)
  elseif kind ~= "string" then
    e = "(the error is a " .. kind .. " value)"
  end
  -- What a script calls last of all (`return f(x)`) looks to Lua as if the library had called it.
  if sub(e, 1, 7) == "[midas " then
    e = gsub(e, "^%[midas [%w_]+%]:%d+: ", "", 1)
    e = gsub(e, "^(bad argument #%d+ to) '[%w_]+'", "%1 '?'", 1)
  end
  return bounded(e, limits.error_message_bytes_max)
end

-- The stack's height without walking it frame by frame: it may be 100,000 high.
local function height()
  local low, high = 1, 1
  while getinfo(high, "l") do low, high = high, high * 2 end
  while low < high - 1 do
    local middle = floor((low + high) / 2)
    if getinfo(middle, "l") then low = middle else high = middle end
  end
  return low
end

local function show(level, name, func)
  local info = getinfo(level, "nSlf")
  if not info or info.what == "C" or sub(info.source, 1, 7) == "=[midas" then return nil end
  local what
  if info.func == func and name ~= "" then what = format("in function '%s'", name)
  elseif info.what == "main" then what = "in main chunk"
  elseif info.namewhat ~= "" and info.func ~= func then what = format("in function '%s'", info.name)
  else what = format("in function <%s:%d>", info.short_src, info.linedefined)
  end
  return format("\t%s:%d: %s", info.short_src, info.currentline, what)
end

local function traceback(level, name, func)
  local top, first, last = height(), {}, {}
  level = level + 1
  while level <= top and #first < FIRST_FRAMES do
    first[#first + 1] = show(level, name, func)
    level = level + 1
  end
  if #first == 0 then return "" end
  while top >= level and #last < LAST_FRAMES do
    last[#last + 1] = show(top, name, func)
    top = top - 1
  end
  if top >= level then first[#first + 1] = "\t..." end
  for i = #last, 1, -1 do first[#first + 1] = last[i] end
  return bounded("stack traceback:\n" .. concat(first, "\n"), limits.traceback_bytes_max)
end

return { describe = describe, traceback = traceback }
