-- Any sendable value will do for a task, and for its result.
--! run: --tasks 6
--! out: nil boolean number string table table
local values = { nil, true, 1.5, "text", {}, { 1, { x = 2 } } }
function generate_data(index) return values[index + 1] end
function execute_code() return global_data end
function interpret_results()
  local kinds = {}
  for i = 1, results.n do kinds[i] = type(results[i]) end
  assert(results[2] == true and results[3] == 1.5 and results[4] == "text")
  assert(next(results[5]) == nil and results[6][1] == 1 and results[6][2].x == 2)
  return table.concat(kinds, " ")
end
