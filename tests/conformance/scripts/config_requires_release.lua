-- config.requires.midas names the oldest release that will do.
--! exit: 2
--! err: 99.0
config = { requires = { midas = "99.0" } }
function generate_data() end
function execute_code() end
function interpret_results() end
