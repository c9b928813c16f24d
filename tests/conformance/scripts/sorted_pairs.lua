-- midas.sorted_pairs is pairs in a fixed order: numbers, strings, booleans.
--! run: --tasks 1
--! out: -1.5=a 1=b 10=c B=d a=e false=f true=g
function generate_data() end
function execute_code()
  local t, texts = { [10] = "c", a = "e", [true] = "g", [-1.5] = "a", B = "d", [false] = "f", "b" }, {}
  for k, v in midas.sorted_pairs(t) do texts[#texts + 1] = tostring(k) .. "=" .. v end
  return table.concat(texts, " ")
end
function interpret_results() return results[1] end
