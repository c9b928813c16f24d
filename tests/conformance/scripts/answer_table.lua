-- interpret_results must return a string or a number.
--! run: --tasks 1
--! exit: 1
--! err: a table cannot be printed: return a string or a number
function generate_data() end
function execute_code() end
function interpret_results() return {} end
