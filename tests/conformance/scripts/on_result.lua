-- on_result is called as each result arrives; what it returns stands in results in its place.
--! run: --tasks 5
--! out: 0 10 20 30 40 calls 5
local calls = 0
function generate_data(index) return index end
function execute_code() return { value = global_data * 10 } end
function on_result(index, result)
  calls = calls + 1
  assert(result.value == index * 10)
  return result.value
end
function interpret_results() return table.concat(results, " ") .. " calls " .. calls end
