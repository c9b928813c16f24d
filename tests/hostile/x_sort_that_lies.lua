-- expect: ok survived
function execute_code()
  local t = {}
  for i = 1, 1000 do t[i] = i end
  pcall(table.sort, t, function() return true end)
  pcall(table.sort, t, function() t = nil error("no") end)
  pcall(string.gsub, ("x"):rep(1000), "x", function() coroutine.yield() end)
  pcall(string.format, "%" .. ("9"):rep(50) .. "d", 1)
  pcall(string.rep, "x", -1)
  pcall(string.rep, "x", 2 ^ 62)
  pcall(table.concat, {}, ",", -2 ^ 53, 2 ^ 53)
  pcall(table.move, {}, 1, 10, 2 ^ 31)
  return "survived"
end
