-- expect: memory memory limit
function execute_code()
  local a, all = midas.array("uint8", 1000), {}
  for i = 1, 200000 do all[i] = a end
  return all
end
