-- shared_data is one table for all tasks of a worker: a task that changes it is found out.
--! run: --tasks 2
--! exit: 1
--! err: wrote into shared_data.list: all tasks of a worker share it, so copy what is to be changed
function generate_shared_data() return { list = { 1, 2, 3 } } end
function generate_data() end
function execute_code() shared_data.list[2] = "changed" return 1 end
function interpret_results() return "not here" end
