-- On 5.4 and 5.5 integers beyond 2^53 are refused, with the place.
--! run: --tasks 1
--! engines: lua5.4 lua5.5
--! exit: 1
--! err: execute_code() result: .big:
function generate_data() end
function execute_code() return { big = (1 << 53) + 1 } end
function interpret_results() return "not here" end
