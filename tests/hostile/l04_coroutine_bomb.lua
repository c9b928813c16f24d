-- expect: memory
function execute_code()
  local all = {}
  for i = 1, math.huge do
    all[i] = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(all[i])
  end
end
