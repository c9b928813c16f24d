-- By default the first script error cancels the job with exit code 1, naming function, task and line.
--! run: --tasks 4
--! exit: 1
--! err: execute_code
--! err: task 2
--! err: error_stops.lua:9: too bad
function generate_data(index) return index end
function execute_code()
  if global_data == 2 then error("too bad") end
  return 1
end
function interpret_results() return "not here" end
