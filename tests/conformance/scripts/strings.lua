-- Strings come back byte by byte, valid UTF-8 or not, with zeros, short and long.
--! run: --tasks 1
--! out: ok
local all = {}
for i = 0, 255 do all[#all + 1] = string.char(i) end
local texts = { "", "plain", "gr\195\188n", table.concat(all), "\0", ("x"):rep(31), ("x"):rep(32),
  ("\255"):rep(256), ("long "):rep(20000) }
function generate_data() return texts end
function execute_code()
  for i, text in ipairs(texts) do assert(global_data[i] == text, i) end
  return global_data
end
function interpret_results()
  for i, text in ipairs(texts) do assert(results[1][i] == text, i) end
  return "ok"
end
