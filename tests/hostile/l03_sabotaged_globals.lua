-- expect: ok done
debug = nil
setmetatable(_G, {
  __index = function(_, k) error("index " .. tostring(k)) end,
  __newindex = function(_, k) error("newindex " .. tostring(k)) end,
})
local done = "done"
rawset(_G, "execute_code", function() return done end)
