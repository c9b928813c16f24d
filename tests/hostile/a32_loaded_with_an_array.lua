-- expect: ok refused
-- An array is no environment, no chunk and no module.
function execute_code()
  local a = midas.array("int8", 3)
  if load(a) or loadstring(a) then return "loaded" end
  local f = load("x = 1 return x", "chunk", "t", a)
  if f and pcall(f) then return "ran" end
  package.loaded.thing = a
  if require("thing") ~= a then return "other" end
  if pcall(require, a) or pcall(dofile, a) then return "required" end
  return "refused"
end
