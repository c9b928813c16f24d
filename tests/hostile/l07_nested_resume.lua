-- expect: ok too many nested coroutines
local deepest
local function nest()
  local ok, message = coroutine.resume(coroutine.create(nest))
  if not ok then deepest = message end
end
function execute_code()
  nest()
  return deepest
end
