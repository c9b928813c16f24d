-- expect: ok refused
function execute_code()
  local sources = {
    "return " .. ("("):rep(5000) .. "1" .. (")"):rep(5000),
    ("do "):rep(50000) .. ("end "):rep(50000),
    (function()
      local t = {}
      for i = 1, 300 do t[i] = "local v" .. i end
      return table.concat(t, " ")
    end)(),
    "return " .. ("{"):rep(5000) .. ("}"):rep(5000),
    "x = " .. ("-"):rep(10 ^ 5) .. "1",
    ("a."):rep(10 ^ 5) .. "b()",
  }
  for i = 1, 4 do
    if load(sources[i]) then return "compiled " .. i end
  end
  load(sources[5])
  load(sources[6])
  return "refused"
end
