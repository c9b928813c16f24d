-- expect: memory
function execute_code()
  local s = ("x"):rep(2 ^ 20)
  local t = {}
  for i = 1, 1000 do t[i] = s end
  return t
end
