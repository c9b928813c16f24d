-- expect: ok refused
-- What an array is made of has names that nobody can guess, and nothing else is found in it.
function execute_code()
  local a = midas.array("int8", 3)
  local names = { "address", "(address)", "address ", "count", "room", "place", "ptr", "p", "data",
    "__index", "__newindex", "__gc", "__metatable", "_", "", "\0", "ffi", "cast", "ctype", "buffer",
    "text", "values", "is_fixed", "kind", "fill", "1", "0x1", "-1", "nan", ("x"):rep(10000) }
  for _, name in ipairs(names) do
    if pcall(function() return a[name] end) then return "read " .. name end
    if pcall(function() a[name] = 1 end) then return "wrote " .. name end
    if pcall(function() return a[name](a) end) then return "called " .. name end
  end
  for _, name in ipairs({ "type", "shape", "copy" }) do
    if pcall(function() a[name] = 1 end) then return "wrote " .. name end
  end
  return "refused"
end
