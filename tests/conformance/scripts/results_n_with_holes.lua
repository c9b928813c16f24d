-- results.n is the number of tasks, also where tasks returned nil.
--! run: --tasks 5
--! out: 5 nil nil 2 nil nil
function generate_data(index) return index end
function execute_code() if global_data == 2 then return global_data end end
function interpret_results()
  local texts = {}
  for i = 1, results.n do texts[i] = tostring(results[i]) end
  return results.n .. " " .. table.concat(texts, " ")
end
