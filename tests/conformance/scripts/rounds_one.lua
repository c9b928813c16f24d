-- next_round that returns nothing ends the job after the first round.
--! run: --tasks 2
--! out: 2 0
function generate_data(index) return index end
function execute_code() return midas.round end
function next_round() end
function interpret_results() return results.n .. " " .. results[2] end
