-- expect: ok refused
-- Arrays go through coroutines, also where one is left in the middle of making an array.
function execute_code()
  local waiting = {}
  for i = 1, 50 do
    local list = { 1, 2, nil, 4 }
    setmetatable(list, { __index = function() coroutine.yield(i) return 3 end })
    local co = coroutine.create(function() return midas.array("uint8", list) end)
    coroutine.resume(co)
    waiting[i] = co
    if i % 10 == 0 then collectgarbage() end
  end
  for i = 1, 50, 2 do
    local ok, a = coroutine.resume(waiting[i])
    if ok and type(a) ~= "number" and (#a ~= 4 or a[3] ~= 3) then return "half made" end
  end
  return "refused"
end
