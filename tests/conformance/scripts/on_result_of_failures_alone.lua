-- A job whose tasks all fail ends, though on_result has nothing to see.
--! run: --tasks 3 --on-error continue
--! exit: 1
--! out: 0 of 3
local calls = 0
function generate_data() end
function execute_code() error("no luck") end
function on_result() calls = calls + 1 end
function interpret_results() return calls .. " of " .. results.n end
