-- expect: runtime (the error is a table value)
function execute_code()
  local function loop() while true do end end
  error(setmetatable({}, { __tostring = loop, __index = loop, __concat = loop, __eq = loop }))
end
