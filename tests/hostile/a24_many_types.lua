-- expect: ok refused
-- Code that was made for one type of array is not run for another.
local NAMES = { "float64", "float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64" }

local function sum(a) local s = 0 for i = 1, #a do s = s + a[i] end return s end
local function last(a) return a[#a] end
local function put(a, x) a[2] = x return a[2] end

function execute_code()
  local arrays = {}
  for _, name in ipairs(NAMES) do arrays[#arrays + 1] = midas.array(name, { 1, 2, 3, 100 }) end
  arrays[#arrays + 1] = global_data[1]
  arrays[#arrays + 1] = { 1, 2, 3, 100 }
  for round = 1, 300 do
    local a = arrays[(round * 7) % #arrays + 1]
    local expected = a == global_data[1] and 4950 or 106
    if sum(a) ~= expected or last(a) ~= (expected == 106 and 100 or 99) then return "read" end
    if expected == 106 and put(a, 2) ~= 2 then return "wrote" end
    if expected ~= 106 and pcall(put, a, 2) then return "wrote to the input" end
    for _, b in ipairs(arrays) do if b ~= global_data[1] and sum(b) ~= 106 then return "mixed" end end
  end
  return "refused"
end
