-- config.timeout_s bounds each call, whatever the script does.
--! run: --tasks 1
--! exit: 1
--! err: 0.3
config = { timeout_s = 0.3 }
function generate_data() end
function execute_code() while true do pcall(function() while true do end end) end end
function interpret_results() return "not here" end
