-- expect: runtime nil
function execute_code()
  error()
end
