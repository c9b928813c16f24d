-- The command line wins over config.
--! run: --tasks 3
--! out: 3
config = { tasks = 100 }
function generate_data() end
function execute_code() return 1 end
function interpret_results() return results.n end
