-- expect: memory memory limit
function execute_code()
  local all = { midas.array("float64", 2 ^ 16) }
  while true do
    for i = 1, #all do all[#all + 1] = all[i]:copy() end
  end
end
