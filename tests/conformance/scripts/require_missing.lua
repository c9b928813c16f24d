-- A module that is missing is an error where it is called, and lists what was shipped.
--! run: --tasks 1
--! out: module 'nowhere.at.all' is missing (shipped with the script: modules.near)
require("modules.near")
function generate_data() end
function execute_code()
  local ok, message = pcall(require, "nowhere.at" .. ".all")
  assert(not ok)
  return message:match("module 'nowhere.*near%)")
end
function interpret_results() return results[1] end
