-- Modules that no literal require names are listed in config.modules.
--! run: --tasks 1
--! out: chosen at run time
config = { modules = { "modules.chosen" } }
function generate_data() return "chosen" end
function execute_code() return require("modules." .. global_data) end
function interpret_results() return results[1] end
