-- generate_shared_data is called before each round, and its round's tasks see what it returned.
--! run: --tasks 3
--! out: 0:0 0:0 0:0 1:10 1:10 1:10 2:20 2:20 2:20 calls 3
local calls, seen = 0, {}
function generate_shared_data()
  calls = calls + 1
  return { round = midas.round, value = midas.round * 10 }
end
function generate_data() end
function execute_code()
  assert(shared_data.round == midas.round)
  return ("%d:%d"):format(shared_data.round, shared_data.value)
end
function next_round(round)
  for i = 1, results.n do seen[#seen + 1] = results[i] end
  return round < 2
end
function interpret_results() return table.concat(seen, " ") .. " calls " .. calls end
