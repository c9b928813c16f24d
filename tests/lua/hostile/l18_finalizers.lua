-- expect: ok refused
function execute_code()
  if newproxy then return "newproxy" end
  for _ = 1, 100 do
    setmetatable({}, { __gc = function() while true do end end })
  end
  collectgarbage()
  return "refused"
end
