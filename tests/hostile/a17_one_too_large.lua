-- expect: memory memory limit
function execute_code()
  return midas.array("float64", 2 ^ 27)
end
