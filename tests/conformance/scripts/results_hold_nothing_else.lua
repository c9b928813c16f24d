-- results.n is answered without being one of the results: pairs and next see only what tasks returned.
--! run: --tasks 3
--! out: 3 3 | 1 2 3 | 3 3
local seen
local function keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  return table.concat(list, " ")
end
function generate_data(index) return index + 1 end
function execute_code() return global_data end
function next_round() seen = results.n .. " " .. #results .. " | " .. keys(results) end
function interpret_results()
  assert(rawget(results, "n") == nil and next(results, 3) == nil)
  return seen .. " | " .. results.n .. " " .. #results
end
