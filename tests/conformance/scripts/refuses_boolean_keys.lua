-- Keys are strings and numbers.
--! run: --tasks 1
--! exit: 1
--! err: execute_code() result: cannot send a table with a boolean key
function generate_data() end
function execute_code() return { [true] = 1 } end
function interpret_results() return "not here" end
