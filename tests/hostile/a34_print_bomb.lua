-- expect: ok refused
-- The text of an array is short, however many elements or dimensions it has.
function execute_code()
  local a, b = midas.array("uint8", 2 ^ 20), midas.array("uint8", 1, 1, 1, 1, 1, 1, 1, 0)
  for _ = 1, 100 do print(a, b) end
  if #tostring(a) > 100 or #tostring(b) > 100 then return "long" end
  return "refused"
end
