-- expect: ok refused
function execute_code()
  io.stdout:close()
  if pcall(function() io.stdout.write = nil end) then return "assigned" end
  if getmetatable(io.stdout) then return "metatable" end
  if pcall(os.setlocale, "C") then return "locale" end
  return "refused"
end
