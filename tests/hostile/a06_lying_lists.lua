-- expect: ok refused
-- A list that says another length each time, or changes while it is read, is no way into memory.
function execute_code()
  local calls = 0
  local function lying(lengths)
    return setmetatable({ 1, 2, nil, 4 }, {
      __len = function() calls = calls + 1 return lengths[calls % #lengths + 1] end,
      __index = function(_, k) collectgarbage() return k % 100 end,
    })
  end
  for _, lengths in ipairs({ { 4, 10 }, { -1 }, { 0.5 }, { 2 ^ 62 }, { "4" }, { 0 / 0 }, { 1e308 }, { {} } }) do
    local ok, a = pcall(midas.array, "uint8", lying(lengths))
    if ok and #a > 10 then return "length " .. #a end
  end
  local shrinking = {}
  for i = 1, 1000 do shrinking[i] = 1 end
  shrinking[500] = nil
  setmetatable(shrinking, { __index = function(t) for i = 501, 1000 do t[i] = nil end return 1 end })
  pcall(midas.array, "int32", shrinking)
  local own = midas.array("int32", 10)
  setmetatable(shrinking, { __index = function() own = midas.array("int32", own) return 1 end })
  pcall(midas.array, "int32", shrinking)
  return "refused"
end
