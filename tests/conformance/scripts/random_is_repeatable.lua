-- math.random is seeded from the seed, the round and the index: neighbours differ, and a task's
-- stream does not depend on what its worker did before.
--! run: --tasks 50 --seed 7
--! out: 50 different, twice the same
local first
function generate_data(index) return index end
function execute_code() return { math.random(), math.random(1, 1000000), math.random() } end
function next_round(round)
  if round == 0 then first = results return true end
end
function interpret_results()
  local seen, n = {}, 0
  for _, r in ipairs(results) do
    if not seen[r[1]] then seen[r[1]] = true n = n + 1 end
  end
  for i, r in ipairs(first) do assert(r[1] ~= results[i][1], "rounds differ") end
  return n .. " different, twice the same"
end
