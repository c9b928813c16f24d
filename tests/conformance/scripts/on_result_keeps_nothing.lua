-- on_result that returns nil keeps nothing; its sums stay on the driver.
--! run: --tasks 6
--! out: 6 nil 15
local sum = 0
function generate_data(index) return index end
function execute_code() return global_data end
function on_result(index, result) sum = sum + result end
function interpret_results() return ("%d %s %d"):format(results.n, tostring(results[1]), sum) end
