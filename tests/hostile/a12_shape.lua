-- expect: ok refused
-- The shape that a script is given is a copy.
function execute_code()
  local a = midas.array("int8", 2, 3)
  a.shape[1], a.shape[3] = 1000, 1000
  local shape = a.shape
  shape[1] = 2 ^ 53
  setmetatable(shape, { __index = function() return 1e9 end })
  if #a ~= 6 or a.shape[1] ~= 2 or #a.shape ~= 2 then return "changed" end
  local b = a:copy()
  b.shape[1] = 7
  if a.shape == a.shape or b.shape[1] ~= 2 then return "shared" end
  local list = { 4, 5 }
  local c = midas.array("int8", { 1, 2, 3, 4 }, 2, 2)
  if pcall(midas.array, "int8", c, list) then return "list" end
  return "refused"
end
