-- expect: memory
-- The next call finds a state with no room left, and a string table about to double.
hoard = {}
function execute_code()
  pcall(function()
    for i = 1, math.huge do hoard[i] = "s" .. i end
  end)
  return #("x"):rep(2 ^ 26)
end
