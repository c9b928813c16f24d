-- expect: ok refused
-- Nobody counts with the address of an array, calls it, or takes it for a number.
function execute_code()
  local a, b = midas.array("float64", 3), midas.array("float64", 3)
  local attempts = {
    function(x) return a + x end, function(x) return x - a end, function(x) return a * x end,
    function(x) return a / x end, function(x) return a % x end, function(x) return a ^ x end,
    function() return -a end, function(x) return a .. x end, function(x) return x .. a end,
    function(x) return a < x end, function(x) return x <= a end, function(x) return a > x end,
    function(x) return a(x) end, function() return a() end, function(x) return a[x] end,
    function(x) return bit32.band(a, x) end, function() return bit32.bnot(a) end,
    function() return math.floor(a) end, function() return math.max(a, 1) end,
    function() return ("x"):rep(a) end, function() return ("x"):sub(a) end,
    function() return string.char(a) end, function() for i = a, 10 do return i end end,
    function() for i = 1, a do return i end end, function() return string.format("%d", a) end,
    function() return string.format("%x", a) end, function() return string.format("%g", a) end,
    function() return string.format("%c", a) end, function() return select(a, 1) end,
    function() return (table.unpack({ 1 }, a)) end, function() return os.date("%Y", a) end,
    function() return bit and bit.tohex(a) or error() end, function() return tonumber(a) + 1 end,
  }
  for i, attempt in ipairs(attempts) do
    for _, operand in ipairs({ a, b, "x", {}, print, true }) do
      if pcall(attempt, operand) then return "attempt " .. i .. " with " .. tostring(operand) end
    end
  end
  if a == b or a == nil or a == 1 or a == "a" or not (a == a) then return "compared" end
  return "refused"
end
