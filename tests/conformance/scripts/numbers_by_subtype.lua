-- On 5.4 and 5.5 integers and floats stay what they are.
--! run: --tasks 1
--! engines: lua5.4 lua5.5
--! out: integer float integer float
function generate_data() return { 3, 3.0 } end
function execute_code()
  return { math.type(global_data[1]), math.type(global_data[2]), 7 // 2, 7.0 // 2 }
end
function interpret_results()
  local r = results[1]
  return r[1] .. " " .. r[2] .. " " .. math.type(r[3]) .. " " .. math.type(r[4])
end
