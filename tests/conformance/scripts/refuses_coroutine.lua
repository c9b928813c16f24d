-- What cannot be sent is an error that names its place.
--! run: --tasks 1
--! exit: 1
--! err: execute_code() result: .rows[3].callback: cannot send a coroutine
function generate_data() end
function execute_code() return { rows = { 1, 2, { callback = coroutine.create(print) } } } end
function interpret_results() return "not here" end
