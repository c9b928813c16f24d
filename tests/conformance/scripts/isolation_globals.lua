-- No task sees another's globals, or what it did to a library.
--! run: --tasks 8
--! out: 8 fresh
function generate_data(index) return index end
function execute_code()
  local fresh = mark == nil and string.mark == nil and math.floor ~= nil
  mark, string.mark, math.floor = true, true, nil
  return fresh
end
function interpret_results()
  local n = 0
  for _, fresh in ipairs(results) do n = n + (fresh and 1 or 0) end
  return n .. " fresh"
end
