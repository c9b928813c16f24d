-- expect: hang
function execute_code()
  return ("a"):rep(40):find(("a*"):rep(40) .. "b")
end
