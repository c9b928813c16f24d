-- expect: ok refused
-- What came is for reading: whoever runs this looks at the memory afterwards.
function execute_code()
  local a = global_data[1]
  local n = #a
  for _, write in ipairs({
    function() a[1] = 0 end, function() a[n] = 0 end, function() a[n + 1] = 0 end,
    function() a[0] = 0 end, function() a.x = 1 end, function() table.sort(a) end,
    function() table.insert(a, 1, 5) end, function() table.remove(a, 1) end,
    function() table.move({ 7, 7, 7 }, 1, 3, 1, a) end, function() rawset(a, 1, 7) end,
    function() setmetatable({}, { __newindex = a })[1] = 7 end,
    function() for i, x in ipairs(a) do a[i] = x + 1 end end,
    function() require("table.clear")(a) end, function() table.foreach(a, print) end,
  }) do
    for _ = 1, 60 do pcall(write) end
  end
  local b = a:copy()
  for i = 1, #b do b[i] = 0 end
  local c = midas.array("uint8", a)
  for i = 1, #c do c[i] = 0 end
  if a.type ~= "uint8" or #a ~= n or #a:copy() ~= n then return "changed" end
  if tostring(a) ~= "uint8 array of " .. n then return tostring(a) end
  return "refused"
end
