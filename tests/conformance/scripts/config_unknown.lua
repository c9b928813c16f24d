-- A key of config that means nothing is refused.
--! exit: 2
--! err: config.taskz is unknown
config = { taskz = 3 }
function generate_data() end
function execute_code() end
function interpret_results() end
