-- expect: memory
function execute_code()
  local t = {}
  for i = 1, 2 ^ 16 do t[i] = ("x"):rep(2 ^ 10) end
  while true do t[#t + 1] = table.concat(t) end
end
