-- expect (plain): memory
-- A handler that runs while a memory error unwinds finds no memory either.
function execute_code()
  local run = load([[
    local function hoard() local t = {} while true do t[#t + 1] = ("y"):rep(100) .. #t end end
    local _ <close> = setmetatable({}, { __close = hoard })
    hoard()
  ]])
  run()
end
