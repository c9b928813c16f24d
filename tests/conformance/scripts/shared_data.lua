-- What generate_shared_data returns is the global shared_data of every task.
--! run: --tasks 6
--! out: 6 times blue 3
function generate_shared_data() return { colour = "blue", list = { 1, 2, 3 } } end
function generate_data() end
function execute_code() return shared_data.colour .. " " .. #shared_data.list end
function interpret_results()
  for _, result in ipairs(results) do assert(result == results[1]) end
  return #results .. " times " .. results[1]
end
