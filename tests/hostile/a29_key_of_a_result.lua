-- expect: unsendable key
function execute_code()
  return { x = { [midas.array("int8", 1)] = 1 } }
end
