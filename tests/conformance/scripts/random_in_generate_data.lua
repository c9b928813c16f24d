-- generate_data draws from a stream of its own for each index.
--! run: --tasks 20
--! out: 20
function generate_data() return math.random() end
function execute_code() return global_data end
function interpret_results()
  local seen, n = {}, 0
  for _, x in ipairs(results) do if not seen[x] then seen[x] = true n = n + 1 end end
  return n
end
