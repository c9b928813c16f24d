-- midas.array makes arrays of ten types: from 1 on, of a fixed length, with elements in their range.
--! run: --tasks 1
--! out: ok
local TYPES = { float64 = 0.1, float32 = 0.5, int8 = -128, int16 = -32768, int32 = -2 ^ 31, int64 = -2 ^ 53,
  uint8 = 255, uint16 = 65535, uint32 = 2 ^ 32 - 1, uint64 = 2 ^ 53 }

local function refuses(message, f)
  local ok, why = pcall(f)
  assert(not ok and why:find(message, 1, true), why)
end

function generate_data() end
function execute_code()
  for name, x in pairs(TYPES) do
    local a = midas.array(name, 5)
    assert(#a == 5 and a.type == name and a[1] == 0)
    a[5] = x
    assert(a[5] == x)
    refuses("index 6 is outside of an array of length 5", function() return a[6] end)
    refuses("index 0 is outside of an array of length 5", function() a[0] = 1 end)
    if name:find("int") then
      refuses("it is not whole", function() a[1] = 0.5 end)
      refuses("it goes from", function() a[1] = x * 2 end)
    end
  end
  local list = midas.array("int16", { 7, 8, 9 })
  local sum = 0
  for i, x in ipairs(list) do sum = sum + i * x end
  return sum == 50 and "ok"
end
function interpret_results() return results[1] end
