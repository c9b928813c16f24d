-- expect (plain): ok overflow overflow overflow overflow
-- (LuaJIT's own stack of C overflows in some of these: the process is what it costs)
function execute_code()
  local function gsub() return (("x"):gsub("x", gsub)) end
  local function sort() table.sort({ 1, 2, 3 }, function(a, b) sort() return a < b end) end
  local function show() return tostring(setmetatable({}, { __tostring = show })) end
  local function index() return setmetatable({}, { __index = index }).x end
  local found = {}
  for i, f in ipairs({ gsub, sort, show, index }) do
    local ok, message = pcall(f)
    found[i] = not ok and message:find("overflow") and "overflow" or "no error"
  end
  return table.concat(found, " ")
end
