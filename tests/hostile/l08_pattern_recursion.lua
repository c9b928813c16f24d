-- expect: runtime pattern too complex
function execute_code()
  return ("a"):rep(3e5):find(("a?"):rep(3e5) .. "b")
end
