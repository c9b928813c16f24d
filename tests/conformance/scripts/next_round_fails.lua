-- An error in next_round ends the job.
--! run: --tasks 2
--! exit: 1
--! err: next_round
--! err: cannot go on
function generate_data() end
function execute_code() end
function next_round() error("cannot go on") end
function interpret_results() return "not here" end
