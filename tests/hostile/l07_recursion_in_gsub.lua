-- expect: ok overflow overflow
-- In LuaJIT each of these takes 9 KB of the stack of C: that of a Lua process is large enough for
-- Lua's own limit to come first.
function execute_code()
  local function gsub() return (("x"):gsub("x", gsub)) end
  local by_table
  local function index() return by_table() end
  function by_table() return (("x"):gsub("x", setmetatable({}, { __index = index }))) end
  local found = {}
  for i, f in ipairs({ gsub, by_table }) do
    local ok, message = pcall(f)
    found[i] = not ok and message:find("overflow") and "overflow" or "no error"
  end
  return table.concat(found, " ")
end
