-- expect (luajit): ok refused
-- expect (plain): nothing
-- LuaJIT's numbers of 64 bits, and complex ones, are neither index nor element nor dimension.
function execute_code()
  local a = midas.array("int64", { 1, 2, 3 })
  for i, x in ipairs({ 1LL, 2ULL, -1LL, 0x7fffffffffffffffLL, 3i }) do
    for round = 1, 60 do
      if pcall(function() return a[x] end) then return "read " .. i end
      if pcall(function() a[x] = 1 end) then return "wrote at " .. i end
      if pcall(function() a[1] = x end) then return "wrote " .. i end
      if pcall(midas.array, "int64", x) then return "made " .. i end
      if pcall(midas.array, "int64", { x }) then return "made of " .. i end
      if pcall(midas.array, x, 1) then return "type " .. i end
      if pcall(a.copy, x) then return "copied " .. i end
      if pcall(function() return a + x end) then return "added " .. i end
      if pcall(function() return x - a end) then return "subtracted " .. i end
      if pcall(function() return a < x end) then return "ordered " .. i end
      if a == x or x == a then return "equal " .. i end
      if pcall(bit.band, a, x) then return "band " .. i end
      if pcall(ipairs, x) then return "ipairs " .. i end
    end
  end
  for _, x in ipairs({ a[1], #a, a.shape[1] }) do
    if type(x) ~= "number" then return "a " .. type(x) end
  end
  return "refused"
end
