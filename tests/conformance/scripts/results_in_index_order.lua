-- results is an array in index order, whatever the order in which tasks end.
--! run: --tasks 40
--! out: true 40 40
function generate_data(index, count) return { index = index, work = (count - index) * 20000 } end
function execute_code()
  local x = 0
  for i = 1, global_data.work do x = x + i % 7 end
  return { index = global_data.index, x = x }
end
function interpret_results()
  local ordered = true
  for i, result in ipairs(results) do ordered = ordered and result.index == i - 1 end
  return tostring(ordered) .. " " .. #results .. " " .. results.n
end
