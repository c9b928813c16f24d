-- The main chunk runs again before every task.
--! run: --tasks 6
--! out: 1 1 1 1 1 1
local count = 0
function generate_data() end
function execute_code() count = count + 1 return count end
function interpret_results() return table.concat(results, " ") end
