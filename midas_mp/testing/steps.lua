-- Tasks that say when they run, and take arg[1] steps of about a microsecond.
function generate_data(index) return { index = index } end

function execute_code()
  midas.print("ran " .. midas.index)
  local x = 0
  for step = 1, 1000 * tonumber(arg[1]) do x = x + step % 7 end
  return global_data.index
end

function interpret_results() return table.concat(results, ",") end
