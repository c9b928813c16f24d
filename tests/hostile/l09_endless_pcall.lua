-- expect: hang
function execute_code()
  while true do pcall(error, "again") end
end
