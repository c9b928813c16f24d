-- Arrays in global_data and shared_data are read-only; a:copy() is yours to write.
--! run: --tasks 2
--! out: 10 110 read-only read-only
function generate_shared_data() return { table = midas.array("float64", { 100, 200 }) } end
function generate_data(index) return { list = midas.array("int32", { 10 + index, 20 }) } end
local function refusal(a)
  local ok, why = pcall(function() a[1] = 5 end)
  return not ok and why:match("read%-only")
end
function execute_code()
  local copy = global_data.list:copy()
  copy[2] = copy[1] + shared_data.table[1]
  assert(global_data.list[2] == 20)
  return { copy[1], copy[2], refusal(global_data.list), refusal(shared_data.table) }
end
function interpret_results()
  local r = results[1]
  return ("%d %d %s %s"):format(r[1], r[2], r[3], r[4])
end
