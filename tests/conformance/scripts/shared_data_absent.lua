-- A script without generate_shared_data has no shared_data.
--! run: --tasks 2
--! out: nil nil
function generate_data() end
function execute_code() return tostring(shared_data) end
function interpret_results() return table.concat(results, " ") end
