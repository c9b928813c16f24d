-- expect: ok done
config = setmetatable({}, { __index = function() while true do end end })
package.path = package.path .. ";/etc/?.lua"
package.loaded.secrets = { 1 }
function execute_code() return "done" end
