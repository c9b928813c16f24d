-- expect: ok refused
-- Nothing brings an array back that the collector has taken, nor ends one that somebody holds.
function execute_code()
  local weak, held = setmetatable({}, { __mode = "kv" }), {}
  for i = 1, 60 do
    local a = midas.array("uint8", i % 2 == 0 and 100000 or 100)
    a[1], a[#a] = i, i
    weak[i], weak[a] = a, i
    if i % 5 == 0 then held[#held + 1] = a end
    if i % 7 == 0 then collectgarbage() end
    for j = 1, i do
      local b = weak[j]
      if b and (b[1] ~= j or b[#b] ~= j) then return "taken" end
    end
  end
  collectgarbage()
  for i, a in ipairs(held) do
    if a[1] ~= 5 * i or a[#a] ~= 5 * i then return "lost" end
  end
  return "refused"
end
