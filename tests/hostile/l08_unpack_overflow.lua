-- expect: runtime too many results to unpack
function execute_code()
  return unpack({}, -2 ^ 31, 2 ^ 31 - 2)
end
