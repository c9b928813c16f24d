-- Tables: arrays, {}, maps, sparse ones, keys of both kinds, and nested ones.
--! run: --tasks 1
--! out: ok
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end
local function made()
  local long, wide = {}, {}
  for i = 1, 70000 do long[i] = i end
  for i = 1, 300 do wide["key" .. i] = { i } end
  return { {}, { 1, 2, 3 }, { a = 1, b = { c = "d" } }, { [1] = "a", [3] = "c" }, { [0] = "zero" },
    { 1, 2, x = 3 }, { [-1] = "m", [1.5] = "h", [2 ^ 40] = "l" }, { { {} } }, long, wide,
    { true, false }, { ["1"] = "text", [1] = "number" } }
end
function generate_data() return made() end
function execute_code() assert(same(global_data, made())) return global_data end
function interpret_results() assert(same(results[1], made())) return "ok" end
