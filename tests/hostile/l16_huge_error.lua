-- expect: runtime xxxxxx
function execute_code()
  error(("x"):rep(2 ^ 22), 0)
end
