-- Requirements that are met are not noticed.
--! run: --tasks 1
--! out: fine
config = { requires = { midas = "0.1" } }
function generate_data() end
function execute_code() end
function interpret_results() return "fine" end
