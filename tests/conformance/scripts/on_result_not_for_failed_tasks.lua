-- on_result is not called for tasks that failed.
--! run: --tasks 4 --on-error continue
--! exit: 1
--! out: 0,2 1
local called = {}
function generate_data(index) return index end
function execute_code() if global_data % 2 == 1 then error("odd") end return global_data end
function on_result(index, result) called[#called + 1] = index return result end
function interpret_results()
  table.sort(called)
  return table.concat(called, ",") .. " " .. (errors[2]:match("odd") and 1 or 0)
end
