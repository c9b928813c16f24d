-- config holds the script's own defaults.
--! out: 6
config = { tasks = "3x" }
function generate_data() end
function execute_code() return 1 end
function interpret_results() return results.n end
