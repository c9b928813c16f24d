-- next_round is called when every task of a round is done, with results set; a true value starts
-- another round with empty results, and interpret_results sees those of the last.
--! run: --tasks 3
--! out: 3 6 12 | 12 3 round 2
local sums = {}
function generate_data(index, count) return { value = 2 ^ midas.round, round = midas.round } end
function execute_code()
  assert(global_data.round == midas.round)
  return global_data.value
end
function next_round(round)
  assert(round == midas.round and results.n == 3 and #results == 3)
  local sum = 0
  for _, x in ipairs(results) do sum = sum + x end
  sums[#sums + 1] = ("%d"):format(sum)
  return round < 2
end
function interpret_results()
  local sum = 0
  for _, x in ipairs(results) do sum = sum + x end
  return ("%s | %d %d round %d"):format(table.concat(sums, " "), sum, results.n, midas.round)
end
