-- expect: ok refused
-- Arrays in the place of everything that the library looks at.
function execute_code()
  local make = midas.array
  local a = make("int8", 3)
  global_data, shared_data, results, errors, config, arg = a, a, a, a, a, a
  midas, string, table, math, os, io, package, debug, coroutine, bit32 = a, a, a, a, a, a, a, a, a, a
  _G, _ENV = a, _ENV
  if pcall(function() return ("x"):nothing() end) then return "method" end
  if ("x"):upper() ~= "X" then return "upper" end
  for name in pairs({ type = 1, tostring = 1, error = 1, next = 1, floor = 1, rawequal = 1 }) do
    load(name .. " = nil")()
  end
  local b = make("int8", { 1, 2 })
  b[1] = 5
  return b:copy()[1] == 5 and b.shape[1] == 2 and "refused" or "lost"
end
