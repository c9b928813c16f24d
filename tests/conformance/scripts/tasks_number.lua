-- --tasks says how many tasks there are.
--! run: --tasks 7
--! out: 7 7 7
function generate_data(index, count) return count end
function execute_code() return global_data end
function interpret_results() return ("%d %d %d"):format(results.n, #results, results[7]) end
