-- Values nest 64 tables deep, and no deeper.
--! run: --tasks 2
--! exit: 1
--! err: task 1
--! err: nested deeper than 64 tables
function generate_data(index)
  local t = {}
  for _ = 1, 63 + index do t = { t } end
  return { depth = 63 + index }
end
function execute_code()
  local t = {}
  for _ = 1, global_data.depth do t = { t } end
  return t
end
function interpret_results() return "not here" end
