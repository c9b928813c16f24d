-- interpret_results may return a number, which is printed as Lua would.
--! run: --tasks 1
--! out: 0.125
function generate_data() end
function execute_code() end
function interpret_results() return 1 / 8 end
