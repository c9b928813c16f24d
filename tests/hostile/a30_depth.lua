-- expect: unsendable nested deeper than 64 tables
function execute_code()
  local t = { midas.array("int8", 1) }
  for _ = 1, 70 do t = { t, midas.array("int8", 1) } end
  return t
end
