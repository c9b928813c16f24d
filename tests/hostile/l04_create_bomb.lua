-- expect (plain): memory
function execute_code()
  if table.create then return table.create(2 ^ 28) end
  return table.move({}, 1, 0, 1), ("x"):rep(2 ^ 28)
end
