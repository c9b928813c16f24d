-- A job of no tasks ends, with empty results.
--! run: --tasks 0
--! out: 0 0
function generate_data() error("nobody calls me") end
function execute_code() end
function interpret_results() return ("%d %d"):format(results.n, #results) end
