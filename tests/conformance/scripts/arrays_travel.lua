-- Arrays travel inside tables, small and large, with type, shape and every element.
--! run: --tasks 3
--! out: float32 2 150 200 ok
local function numbers(type, first, ...)
  local a = midas.array(type, ...)
  for i = 1, #a do a[i] = (first + i) % 100 end
  return a
end
local function is_numbers(a, first)
  for i = 1, #a do if a[i] ~= (first + i) % 100 then return false end end
  return true
end
function generate_data(index)
  return { small = numbers("uint8", index, 7), { large = numbers("float32", index, 2, 150, 200) },
    none = midas.array("int64", 0) }
end
function execute_code()
  local index, g = midas.index, global_data
  assert(is_numbers(g.small, index) and is_numbers(g[1].large, index) and #g.none == 0)
  return { came = g[1].large, made = numbers("int16", index, 30000), small = g.small, again = g[1].large }
end
function interpret_results()
  for i, r in ipairs(results) do
    assert(is_numbers(r.came, i - 1) and is_numbers(r.made, i - 1) and is_numbers(r.small, i - 1))
    assert(is_numbers(r.again, i - 1) and #r.made == 30000)
  end
  local a = results[3].came
  return ("%s %d %d %d ok"):format(a.type, a.shape[1], a.shape[2], a.shape[3])
end
