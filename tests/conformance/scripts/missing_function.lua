-- A script without one of the three functions is refused by name.
--! exit: 1
--! err: does not define the function interpret_results
function generate_data() end
function execute_code() end
