-- Prints are complete and in order before a job ends.
--! run: --tasks 4
--! out: done
--! err-count: 4000 line of task
function generate_data(index) return index end
function execute_code() for i = 1, 1000 do print("line of task", global_data, i) end end
function interpret_results() return "done" end
