-- expect: runtime the error is a table value
function execute_code()
  error({ midas.array("int8", 3) })
end
