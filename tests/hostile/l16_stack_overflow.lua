-- expect: runtime stack overflow
local function deeper(n) return 1 + deeper(n + 1) end
function execute_code()
  return deeper(0)
end
