-- Any true value starts another round: 0 and "" are true in Lua.
--! run: --tasks 1
--! out: 3
local answers = { 0, "", false }
local rounds = 0
function generate_data() end
function execute_code() end
function next_round(round) rounds = rounds + 1 return answers[round + 1] end
function interpret_results() return rounds end
