-- Text that is not UTF-8 reaches stdout byte by byte.
--! run: --tasks 1
--! out: \xff\x00\xfe|
function generate_data() end
function execute_code() return "\255\0\254" end
function interpret_results() return results[1] .. "|" end
