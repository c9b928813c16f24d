-- interpret_results may save a file below the working directory; execute_code may not.
--! run: --tasks 1
--! out: saved no
function generate_data() end
function execute_code() return pcall(io.open, "picture.txt", "w") and "yes" or "no" end
function interpret_results()
  local file = assert(io.open("picture.txt", "w"))
  file:write("saved")
  file:close()
  local text = io.open("picture.txt"):read("*a")
  return text .. " " .. results[1]
end
