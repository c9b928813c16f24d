-- The Lua 5.2 names that scripts expect exist on every engine, beside those of 5.1.
--! run: --tasks 1
--! out: 3 2 5 12 3 6 ok
function generate_data() end
function execute_code()
  assert(unpack and loadstring and string.format and math.pow(2, 3) == 8)
  assert(utf8.char(0xe9) == "\195\169" and utf8.len("\195\169x") == 2)
  local packed = table.pack(nil, nil, nil)
  local goto_works = load("goto done do return false end ::done:: return true")()
  assert(goto_works and load("return x", "chunk", "t", { x = 1 })() == 1)
  return { packed.n, (select(2, table.unpack({ 1, 2 }))), rawlen("five!"),
    bit32.bor(8, 4), rawlen({ 1, 2, 3 }), select(2, xpcall(function(x) return x end, print, 6)) }
end
function interpret_results() return table.concat(results[1], " ") .. " ok" end
