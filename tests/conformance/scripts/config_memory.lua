-- config.memory bounds each Lua state.
--! run: --tasks 1
--! exit: 1
--! err: memory limit of 32 MB reached
config = { memory = "32MB" }
function generate_data() end
function execute_code()
  local t = {}
  for i = 1, 1e8 do t[i] = ("x"):rep(1000) .. i end
end
function interpret_results() return "not here" end
