-- An error in generate_data is the script's, too.
--! run: --tasks 3
--! exit: 1
--! err: generate_data
--! err: no data for 1
function generate_data(index) if index == 1 then error("no data for 1") end end
function execute_code() end
function interpret_results() return "not here" end
