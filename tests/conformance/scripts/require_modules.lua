-- require finds name.lua and name/init.lua beside the script, also what modules require.
--! run: --tasks 2
--! out: 25 deep of inner, 25 deep of inner
local near = require("modules.near")
function generate_data() end
function execute_code() return near.square(5) .. " " .. require("modules.deep").name() end
function interpret_results() return table.concat(results, ", ") end
