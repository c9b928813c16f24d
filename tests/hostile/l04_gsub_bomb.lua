-- expect: memory
function execute_code()
  return (("x"):rep(2 ^ 20):gsub("x", ("y"):rep(2 ^ 12)))
end
