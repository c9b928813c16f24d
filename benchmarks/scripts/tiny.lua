-- The smallest task that still takes and gives something.

function generate_data(index, count)
  return { i = index }
end

function execute_code()
  return { v = global_data.i + 1 }
end

function interpret_results()
  local sum = 0
  for _, result in ipairs(results) do
    sum = sum + result.v
  end
  return sum
end
