-- A whole number is printed without a fraction.
--! run: --tasks 1
--! out: 9007199254740992
function generate_data() end
function execute_code() end
function interpret_results() return math.floor(2 ^ 53) end
