-- expect: runtime too many nested coroutines
function execute_code()
  local function nest() return coroutine.wrap(nest)() end
  return nest()
end
