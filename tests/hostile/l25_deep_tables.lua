-- expect: unsendable nested deeper than 64 tables
function execute_code()
  local t = {}
  for _ = 1, 10 ^ 5 do t = { t } end
  return t
end
