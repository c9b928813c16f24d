-- expect (luajit): ok refused
-- expect (plain): nothing
-- Where the stack ends in the middle of a library function, nothing is left half done.
local a, most, f

local function nothing() end

local function deep(n)
  if n > most then most = n end
  if n > most - 40 then f() end
  return 1 + deep(n + 1)
end

function execute_code()
  a = midas.array("uint8", 100000)
  most, f = 0, nothing
  pcall(deep, 0)
  for _, attempt in ipairs({
    function() return a[1] end, function() a[1] = 1 end, function() return #a:copy() end,
    function() return midas.array("uint8", 70000) end, function() return midas.array("int8", { 1 }) end,
    function() return tostring(a) .. #a.shape end, function() return pcall(function() return a.x end) end,
  }) do
    f = attempt
    if pcall(deep, 0) or pcall(coroutine.wrap(function() deep(0) end)) then return "no end" end
  end
  a[100000] = 7
  return a:copy()[100000] == 7 and #midas.array("int8", a) == 100000 and "refused" or "lost"
end
