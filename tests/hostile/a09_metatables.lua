-- expect: ok refused
-- An array in a metatable answers as itself; its own metatable is nobody's.
function execute_code()
  local a = midas.array("int8", { 1, 2, 3 })
  local mt = getmetatable(a)
  if type(mt) == "table" or type(mt) == "userdata" or type(mt) == "cdata" then return "has one" end
  if pcall(setmetatable, a, {}) or pcall(setmetatable, a, nil) then return "set" end
  local proxy = setmetatable({}, { __index = a, __newindex = a })
  if proxy[2] ~= 2 or pcall(function() return proxy[4] end) then return "read" end
  proxy[2] = 9
  if a[2] ~= 9 or pcall(function() proxy[4] = 1 end) or pcall(function() proxy[2] = 300 end) then
    return "wrote"
  end
  for _, event in ipairs({ "__add", "__call", "__concat", "__len", "__eq", "__lt", "__tostring", "__mode",
    "__metatable", "__pairs", "__ipairs", "__close", "__name", "__unm" }) do
    local t = setmetatable({}, { [event] = a })
    for _, f in ipairs({ function() return t + 1 end, function() return t() end,
      function() return t .. "" end, function() return t < t end, function() return -t end,
      function() return #t end, function() return tostring(t) end, function() return t == {} end,
      function() for _ in pairs(t) do end end, function() return getmetatable(t) end }) do
      pcall(f)
    end
  end
  for _ = 1, 300 do proxy = setmetatable({}, { __index = proxy }) end
  pcall(function() return proxy[1] end)
  setmetatable(_G, { __index = a })
  if pcall(function() return unknown_name end) then return "global" end
  return "refused"
end
