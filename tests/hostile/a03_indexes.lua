-- expect: ok refused
-- Only 1 to n are elements, whatever else calls itself a number.
function execute_code()
  local a = midas.array("uint16", { 1, 2, 3 })
  local indexes = { 0, -0.0, -1, 4, 3.5, 0.999999, 1 + 2 ^ -50, 3 + 2 ^ -50, 2 ^ 31, 2 ^ 31 + 1, 2 ^ 32,
    2 ^ 32 + 1, -2 ^ 31, -2 ^ 32 + 1, 2 ^ 53, 2 ^ 53 + 1, -2 ^ 53, 2 ^ 63, 2 ^ 64, 2 ^ 64 + 1, 1e308, -1e308,
    1 / 0, -1 / 0, 0 / 0, 5e-324, "1", "2", {}, print, true, false, a, coroutine.create(print) }
  local function read(k) return a[k] end
  local function write(k) a[k] = 7 end
  for round = 1, 100 do -- hot code is other code
    for i, k in ipairs(indexes) do
      if pcall(read, k) then return "read " .. i end
      if pcall(write, k) then return "wrote " .. i end
    end
    for k = 1, 3 do if not pcall(read, k) then return "did not read " .. k end end
  end
  if pcall(read, nil) or pcall(write, nil) then return "nil" end
  if a[1] + a[2] + a[3] ~= 6 then return "changed" end
  return "refused"
end
