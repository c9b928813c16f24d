-- An error in on_result is the script's: it ends the job and names the task.
--! run: --tasks 3
--! exit: 1
--! err: on_result
--! err: no good
function generate_data(index) return index end
function execute_code() return global_data end
function on_result(index, result) if index == 1 then error("no good") end return result end
function interpret_results() return "not here" end
