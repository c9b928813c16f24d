-- expect: ok refused
-- Whoever catches the lack of memory has what it had before.
function execute_code()
  local a = midas.array("uint8", 100000)
  for i = 1, 200 do
    if pcall(midas.array, "uint8", 2 ^ 28) then return "made" end
    if pcall(midas.array, "uint8", 2 ^ 29 + i) then return "made more" end
  end
  a[100000] = 7
  return a:copy()[100000] == 7 and "refused" or "lost"
end
