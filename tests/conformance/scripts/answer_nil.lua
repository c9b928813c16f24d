-- interpret_results that returns nil prints nothing.
--! run: --tasks 1
function generate_data() end
function execute_code() end
function interpret_results() end
