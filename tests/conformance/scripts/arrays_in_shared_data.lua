-- Shared arrays are those of the round, for every task of it.
--! run: --tasks 6
--! out: 0 6000 12000
local N = 20000
function generate_shared_data()
  local a = midas.array("float64", N)
  for i = 1, N do a[i] = midas.round end
  return { weights = a, list = { midas.array("int8", { midas.round }) } }
end
function generate_data() end
function execute_code()
  local a, sum = shared_data.weights, 0
  for i = 1, #a, 20 do sum = sum + a[i] end
  assert(shared_data.list[1][1] == midas.round)
  return sum
end
sums = {}
function next_round(round)
  local sum = 0
  for _, x in ipairs(results) do sum = sum + x end
  sums[round + 1] = ("%d"):format(sum)
  return round < 2
end
function interpret_results() return table.concat(sums, " ") end
