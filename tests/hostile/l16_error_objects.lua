-- expect: runtime (the error is a function value)
function execute_code()
  error(print)
end
