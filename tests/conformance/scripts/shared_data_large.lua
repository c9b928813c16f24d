-- Shared data may be large.
--! run: --tasks 4
--! out: 4 300000 45000150000
function generate_shared_data()
  local numbers = {}
  for i = 1, 300000 do numbers[i] = i end
  return { numbers = numbers, text = ("x"):rep(3000000) }
end
function generate_data() end
function execute_code()
  assert(#shared_data.text == 3000000)
  local sum = 0
  for _, x in ipairs(shared_data.numbers) do sum = sum + x end
  return { n = #shared_data.numbers, sum = sum }
end
function interpret_results()
  return ("%d %d %.0f"):format(#results, results[4].n, results[4].sum)
end
