-- Equal inputs give equal results wherever they run: a task's answer depends on nothing but its data.
--! run: --tasks 12
--! out: 12 same
function generate_data() return { x = 0.1 } end
function execute_code()
  local x = global_data.x
  for i = 1, 1000 do x = 3.9 * x * (1 - x) end
  return ("%.17g"):format(x)
end
function interpret_results()
  local n = 0
  for _, x in ipairs(results) do n = n + (x == results[1] and 1 or 0) end
  return n .. " same"
end
