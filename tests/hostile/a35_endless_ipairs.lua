-- expect: ok refused
-- A loop over an array ends at its end, also over one of nothing.
function execute_code()
  local n = 0
  for _ in ipairs(midas.array("int8", 0)) do n = n + 1 end
  for _ in ipairs(midas.array("int8", 1000)) do n = n + 1 end
  for _ in ipairs(global_data[1]) do n = n + 1 end
  if n ~= 1100 then return "went over " .. n end
  return "refused"
end
