-- config.isolate = false keeps one environment per worker for the whole job.
--! run: --tasks 20
--! out: true
config = { isolate = false }
local count = 0
function generate_data() end
function execute_code() count = count + 1 return { worker = midas.worker, count = count } end
function interpret_results()
  local most = {}
  for _, r in ipairs(results) do most[r.worker] = math.max(most[r.worker] or 0, r.count) end
  local sum = 0
  for _, n in pairs(most) do sum = sum + n end
  return tostring(sum == 20)
end
