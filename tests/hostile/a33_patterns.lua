-- expect: ok refused
-- An array in the place of a replacement, a pattern or a format.
function execute_code()
  local a = midas.array("uint8", { 65, 66 })
  for _, f in ipairs({
    function() return (("x1"):gsub("%w", a)) end, function() return (("x"):gsub(a, "y")) end,
    function() return ("x"):find(a) end, function() return a:rep(2) end, function() return a:byte() end,
    function() return ("%s"):format() .. a end, function() return a .. "" end,
    function() return table.concat({ 1, a, 2 }) end, function() return io.write(a) end,
  }) do
    if pcall(f) then return "taken" end
  end
  return "refused"
end
