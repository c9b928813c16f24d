-- errors is that of the round.
--! run: --tasks 2 --on-error continue
--! exit: 1
--! out: first: nil/bad; second: nil/nil
local told = {}
function generate_data(index) return index end
function execute_code() if midas.round == 0 and global_data == 1 then error("bad", 0) end return 1 end
local function show() return tostring(errors[1]) .. "/" .. tostring(errors[2]) end
function next_round(round) told[#told + 1] = show() return round < 1 end
function interpret_results() return "first: " .. told[1] .. "; second: " .. told[2] end
