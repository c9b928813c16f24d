-- Numbers come back as they were: integral up to 2^53, fractions, infinities, nan, minus zero.
--! run: --tasks 1
--! out: ok
local numbers = { 0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2 ^ 31, -2 ^ 31, 2 ^ 32, -2 ^ 32 - 1,
  2 ^ 53, -2 ^ 53, 0.5, 1 / 3, 1e300, -1e-300, 2 ^ 60, 1 / 0, -1 / 0 }
function generate_data() return { list = numbers, nan = 0 / 0, zero = -0.0 } end
function execute_code()
  for i, x in ipairs(global_data.list) do assert(x == numbers[i], i) end
  assert(global_data.nan ~= global_data.nan and 1 / global_data.zero == -1 / 0)
  return global_data
end
function interpret_results()
  local r = results[1]
  for i, x in ipairs(r.list) do assert(x == numbers[i], i) end
  assert(#r.list == #numbers and r.nan ~= r.nan and 1 / r.zero == -1 / 0)
  return "ok"
end
