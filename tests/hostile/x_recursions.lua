-- expect: ok ended
-- Recursion that goes through the library, through C and through metamethods, as deep as it may.
local function quietly(f, ...)
  local ok, e = pcall(f, ...)
  if not ok and type(e) ~= "string" then error("an error that is no text: " .. type(e), 0) end
end

local function text_of_itself()
  local t
  t = setmetatable({}, { __tostring = function() return tostring(t) .. "" end })
  return tostring(t)
end

local function printed_by_itself()
  local t
  t = setmetatable({}, { __tostring = function() print(t) return "x" end })
  print(t)
end

local function sorted_in_itself(depth)
  table.sort({ 3, 1, 2 }, function(a, b)
    if depth > 0 then sorted_in_itself(depth - 1) end
    return a < b
  end)
end

local function joined_by_itself()
  local t
  t = setmetatable({}, { __concat = function(_, b) return t .. b .. "" end })
  return t .. "x"
end

local function equal_to_itself()
  local m = {}
  m.__eq = function() return not (setmetatable({}, m) == setmetatable({}, m)) end
  return setmetatable({}, m) == setmetatable({}, m)
end

local function handled_by_itself()
  local function f() return xpcall(f, f) end
  return f()
end

local function through_wraps()
  local f = function() return 1 end
  for _ = 1, 1e4 do
    local g = f
    f = coroutine.wrap(function() return g() end)
  end
  return f()
end

local function through_indexes()
  local t = {}
  for _ = 1, 1e5 do t = setmetatable({}, { __index = t }) end
  return t.x
end

local function through_gsub(depth)
  return (("x"):gsub("x", function() return through_gsub(depth + 1) end))
end

local function resumed_by_itself()
  local c
  c = coroutine.wrap(function() return c() end)
  return c()
end

function execute_code()
  quietly(text_of_itself)
  quietly(printed_by_itself)
  quietly(sorted_in_itself, 1e5)
  quietly(joined_by_itself)
  quietly(equal_to_itself)
  quietly(handled_by_itself)
  quietly(through_wraps)
  quietly(through_indexes)
  quietly(through_gsub, 1)
  quietly(resumed_by_itself)
  if coroutine.close then
    local c
    c = coroutine.create(function() return pcall(coroutine.close, c) end)
    quietly(coroutine.resume, c)
    quietly(coroutine.close, coroutine.running())
  end
  return "ended"
end
