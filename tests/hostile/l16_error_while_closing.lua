-- expect (plain): runtime second
function execute_code()
  local run = load([[
    local function fail() error("second", 0) end
    local _ <close> = setmetatable({}, { __close = fail })
    error("first")
  ]])
  run()
end
