-- generate_data may read files, and midas.dir is the script's folder.
--! run: --tasks 3
--! out: ALPHA,BETA,GAMMA
local lines
function generate_data(index)
  if not lines then
    lines = {}
    for line in io.lines(midas.dir .. "/data/lines.txt") do lines[#lines + 1] = line end
  end
  return { line = lines[index + 1] }
end
function execute_code() return global_data.line:upper() end
function interpret_results() return table.concat(results, ",") end
