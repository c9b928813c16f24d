-- expect: ok refused
-- Arrays as keys are themselves, whatever they hold.
function execute_code()
  local t = {}
  for i = 1, 100 do t[midas.array("int8", 1)] = i end
  local n = 0
  for k, v in pairs(t) do n = n + 1 if t[k] ~= v or #k ~= 1 then return "lost" end end
  if n ~= 100 then return "found " .. n end
  local a, b = midas.array("int8", 1), midas.array("int8", 1)
  if rawequal(a, b) or not rawequal(a, a) or a == b then return "equal" end
  if pcall(table.sort, { a, b, a, b }) then return "sorted" end
  local ok = pcall(midas.sorted_pairs, { [a] = 1 })
  return ok and "pairs" or "refused"
end
