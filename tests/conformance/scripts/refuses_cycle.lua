-- A table that contains itself cannot be sent.
--! run: --tasks 1
--! exit: 1
--! err: generate_data() result: .me: cannot send a table that contains itself
function generate_data() local t = {} t.me = t return t end
function execute_code() end
function interpret_results() return "not here" end
