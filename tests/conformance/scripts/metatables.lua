-- Metatables are not sent and never run.
--! run: --tasks 1
--! out: 1 nil
local hostile = { __index = function() error("run") end, __pairs = function() error("run") end,
  __len = function() error("run") end, __newindex = function() error("run") end }
function generate_data() return setmetatable({ x = 1 }, hostile) end
function execute_code()
  assert(getmetatable(global_data) == nil)
  return setmetatable({ x = global_data.x }, hostile)
end
function interpret_results() return results[1].x .. " " .. tostring(getmetatable(results[1])) end
