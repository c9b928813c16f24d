-- expect: memory memory limit
function execute_code()
  local all = {}
  while true do all[#all + 1] = midas.array("uint8", 8000) end
end
