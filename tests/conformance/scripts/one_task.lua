-- A job of one task ends.
--! run: --tasks 1
--! out: 42
function generate_data(index, count) return { index = index, count = count } end
function execute_code() return 41 + global_data.count + global_data.index end
function interpret_results() return results[1] end
