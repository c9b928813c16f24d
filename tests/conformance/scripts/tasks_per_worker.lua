-- --tasks 4x is four for each worker.
--! run: --tasks 4x
--! out: 8
function generate_data(index, count) return count end
function execute_code() return global_data end
function interpret_results() return results.n end
