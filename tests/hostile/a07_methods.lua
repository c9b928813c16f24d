-- expect: ok refused
-- What an array's method, or the iterator of one, is called with need be no array.
function execute_code()
  local a = midas.array("int8", { 1, 2, 3 })
  local copy, step = a.copy, (ipairs(a))
  for _, x in ipairs({ 1, "x", {}, print, true, io.stdout, coroutine.create(print), { type = "int8" },
    setmetatable({}, { __index = a }), setmetatable({}, getmetatable(a) and {} or nil) }) do
    if pcall(copy, x) then return "copied a " .. type(x) end
    if type(x) ~= "table" and type(x) ~= "string" and pcall(step, x, 0) then return "stepped over a " .. type(x) end
  end
  if pcall(copy) or pcall(step) or pcall(step, a, "x") then return "nothing" end
  for _, i in ipairs({ -1, -5, 0.5, -2 ^ 53 }) do
    if pcall(step, a, i) then return "stepped to " .. i end
  end
  if step(a, 2 ^ 53) ~= nil or step(a, 1 / 0) ~= nil then return "stepped far" end
  return "refused"
end
