-- expect: ok refused
-- An array does not say where its elements are, nor of what engine it is.
function execute_code()
  local a = midas.array("float64", 2, 3)
  local text = tostring(a) .. string.format("%s", a)
  if text ~= "float64 array of 2 x 3float64 array of 2 x 3" then return text end
  local said = {}
  local function say(f, ...) local _, m = pcall(f, ...) said[#said + 1] = tostring(m) end
  say(function() return a + 1 end)
  say(function() return a[{}] end)
  say(function() return a.x end)
  say(function() a[1] = {} end)
  say(function() return a() end)
  say(error, a)
  say(midas.array, a, 1)
  say(midas.array, "int8", "x")
  say(table.concat, { a })
  say(debug.traceback, a)
  for _, m in ipairs(said) do
    if m:find("0x%x%x%x%x") or m:find("%d%d%d%d%d%d%d%d") then return m end
  end
  return "refused"
end
