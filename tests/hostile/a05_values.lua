-- expect: ok refused
-- What is no element of a type is not in an array of it; nor does it change what is beside it.
local RANGES = { int8 = { -128, 127 }, uint8 = { 0, 255 }, int16 = { -32768, 32767 }, uint16 = { 0, 65535 },
  int32 = { -2 ^ 31, 2 ^ 31 - 1 }, uint32 = { 0, 2 ^ 32 - 1 }, int64 = { -2 ^ 53, 2 ^ 53 },
  uint64 = { 0, 2 ^ 53 } }

function execute_code()
  for name, range in pairs(RANGES) do
    local a = midas.array(name, { 1, 2, 3 })
    local bad = { range[1] - 2, range[2] + 2, 0.5, -0.5, 1e308, -1e308, 2 ^ 63, 2 ^ 64, -2 ^ 63, 1 / 0, -1 / 0,
      0 / 0, "1", true, {}, print, a }
    for round = 1, 60 do
      for i, x in ipairs(bad) do
        if pcall(function() a[2] = x end) then return name .. " " .. i end
        if pcall(midas.array, name, { 1, x }) then return name .. " of a list " .. i end
      end
      a[2] = range[round % 2 + 1]
      if a[1] ~= 1 or a[2] ~= range[round % 2 + 1] or a[3] ~= 3 then return name .. " changed" end
    end
  end
  return "refused"
end
