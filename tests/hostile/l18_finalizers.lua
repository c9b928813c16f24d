-- expect: ok refused
function execute_code()
  if newproxy then return "newproxy" end
  local function loop() while true do end end
  for _ = 1, 100 do
    pcall(setmetatable, {}, { __gc = loop })
    local mt = {}
    setmetatable({}, mt)
    mt.__gc = loop
  end
  collectgarbage()
  return "refused"
end
