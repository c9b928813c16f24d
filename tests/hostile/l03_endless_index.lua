-- expect: ok done
function execute_code()
  setmetatable(_G, { __index = function() while true do end end })
  return "done"
end
