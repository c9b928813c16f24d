-- expect (plain): ok survived
function execute_code()
  warn("@on")
  warn("a", "b", "c")
  if pcall(warn, {}) then return "table" end
  return "survived"
end
