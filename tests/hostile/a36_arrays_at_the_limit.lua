-- expect (luajit): ok refused
-- expect (plain): nothing
-- Where memory ends in the middle of making an array, no block of shared memory is lost.
local function full(held)
  local last
  while true do
    local t = { last, 1, 2, 3, 4, 5, 6, 7, 8 }
    last = t
    held[1] = t
  end
end

local function attempt()
  local a = midas.array("uint8", 70000)
  a[70000] = 7
  return a:copy()
end

function execute_code()
  local held = {}
  for i = 1, 5 do
    pcall(full, held)
    for _ = 1, 200 do pcall(attempt) end
    held[1] = nil
    collectgarbage()
  end
  return midas.array("uint8", 70000):copy()[70000] == 0 and "refused" or "lost"
end
