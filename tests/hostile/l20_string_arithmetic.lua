-- expect (plain): ok refused
-- Strings take part in arithmetic by metamethods, in a table that must stay out of reach.
function execute_code()
  if "10" + 1 ~= 11 then return "arithmetic" end
  local mine = setmetatable({}, { __add = function() return "mine" end })
  if "x" + mine ~= "mine" or mine + "x" ~= "mine" then return "operands" end
  string.__add, string.__index = error, error
  if "10" + 1 ~= 11 or ("x"):upper() ~= "X" then return "changed" end
  if getmetatable("") then return "metatable" end
  return "refused"
end
