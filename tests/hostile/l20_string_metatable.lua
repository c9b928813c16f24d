-- expect: ok refused
function execute_code()
  local mt = getmetatable("")
  if mt then return "getmetatable" end
  string.rep = nil
  string.upper = function() return "evil" end
  if ("x"):rep(2) ~= "xx" or ("x"):upper() ~= "X" then return "methods changed" end
  if pcall(setmetatable, "", {}) then return "setmetatable" end
  if pcall(function() return ("x") + {} end) then return "arithmetic" end
  return "refused"
end
