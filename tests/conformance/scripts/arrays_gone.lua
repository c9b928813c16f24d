-- An array that a script keeps beyond its task is an error, its copy and its own arrays are not.
--! run: --tasks 8
--! out: this array belonged to a task that is over; a:copy() keeps it
--! out: 5 5
config = { isolate = false }
function generate_data() return midas.array("int16", 3000) end
function execute_code()
  if not kept then
    kept, own, copied = global_data, midas.array("int8", { 5 }), global_data:copy()
    copied[1] = 5
    return
  end
  local ok, why = pcall(function() return kept[1] end)
  return { not ok and why:match(": (.*)"), own[1], copied[1] }
end
function interpret_results()
  for i = 1, results.n do
    local r = results[i]
    if r then return ("%s\n%d %d"):format(r[1], r[2], r[3]) end
  end
end
