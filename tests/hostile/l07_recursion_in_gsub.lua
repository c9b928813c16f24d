-- expect: ok overflow overflow overflow
-- In LuaJIT each of these takes 9 KB of the stack of C, and the last as little of Lua's own as can be:
-- that of a Lua process is large enough for Lua's limit to come first.
function execute_code()
  local substitute = string.gsub
  local function gsub() return (("x"):gsub("x", gsub)) end
  local by_table
  local function index() return by_table() end
  function by_table() return (("x"):gsub("x", setmetatable({}, { __index = index }))) end
  local function in_tail_position() return substitute("x", "x", in_tail_position) end
  local found = {}
  for i, f in ipairs({ gsub, by_table, in_tail_position }) do
    local ok, message = pcall(f)
    found[i] = not ok and message:find("overflow") and "overflow" or "no error"
  end
  return table.concat(found, " ")
end
