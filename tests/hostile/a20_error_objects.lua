-- expect: runtime the error is a
function execute_code()
  local a = midas.array("int8", 3)
  pcall(error, a)
  xpcall(error, function() error(a) end, a)
  xpcall(error, midas.array, "x")
  xpcall(midas.array, midas.array, "int8", 3)
  pcall(coroutine.wrap(function() error(a) end))
  assert(false, a)
end
