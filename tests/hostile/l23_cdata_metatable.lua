-- expect (luajit): ok refused
function execute_code()
  local big = 1ULL
  if type(getmetatable(big)) == "table" then return "metatable" end
  if pcall(function() return big.x end) or pcall(function() return big[0] end) then return "index" end
  if pcall(function() big[0] = 1 end) then return "write" end
  return "refused"
end
