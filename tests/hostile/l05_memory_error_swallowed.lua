-- expect: ok survived
function execute_code()
  for _ = 1, 5 do
    pcall(function()
      local s = "x"
      while true do s = s .. s end
    end)
  end
  return "survived"
end
