-- expect: ok refused
-- No dimensions make an array that is larger, or smaller, than it says.
function execute_code()
  local a = midas.array
  local bad = { -1, -0.5, 0.5, 1 / 0, -1 / 0, 0 / 0, 1e308, 2 ^ 53 + 2, 2 ^ 63, 2 ^ 64, "3", true, print,
    coroutine.create(print) }
  for i, n in ipairs(bad) do
    if pcall(a, "int8", n) then return "one " .. i end
    if pcall(a, "int8", 2, n) then return "two " .. i end
    if pcall(a, "int8", {}, n) then return "values " .. i end
  end
  local large = { { 2 ^ 30 + 1 }, { 2 ^ 31 }, { 2 ^ 32, 2 ^ 32 }, { 2 ^ 53, 2 ^ 53, 2 ^ 53 }, { 2 ^ 16, 2 ^ 16 },
    { 2 ^ 21, 2 ^ 21, 2 ^ 22 }, { 2 ^ 32, 2 ^ 32, 0 }, { 0, 2 ^ 53, 2 }, { 2 ^ 8, 2 ^ 8, 2 ^ 8, 2 ^ 8 },
    { 2 ^ 53, 2 ^ 53, 2 ^ 53, 2 ^ 53, 2 ^ 53, 2 ^ 53, 2 ^ 53, 2 ^ 53 }, { 1, 1, 1, 1, 1, 1, 1, 1, 1 } }
  for i, dimensions in ipairs(large) do
    if pcall(a, "int8", table.unpack(dimensions)) then return "large " .. i end
  end
  for i, name in ipairs({ "double", "float", "char", "void", "int8_t", "uint8[9]", "struct", "", "1" }) do
    if pcall(a, name, 1) then return "type " .. name end
  end
  for code = 0, 11 do if pcall(a, code, 1) then return "type " .. code end end
  return "refused"
end
