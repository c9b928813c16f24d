-- The driver has one environment for the whole job: what generate_data, on_result and next_round
-- set, interpret_results sees.
--! run: --tasks 3
--! out: g3 r3 n1
generated, arrived, rounds = 0, 0, 0
function generate_data() generated = generated + 1 end
function execute_code() return 1 end
function on_result(_, result) arrived = arrived + 1 return result end
function next_round() rounds = rounds + 1 end
function interpret_results() return ("g%d r%d n%d"):format(generated, arrived, rounds) end
