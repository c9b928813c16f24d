-- expect: memory
function execute_code()
  local s = ("x"):rep(2 ^ 20)
  while true do
    s = s .. s
    print(s:sub(1, 1), s)
  end
end
