-- What follows -- is arg[1], arg[2] …; arg[0] is the script's path; --arg gives arguments by name.
--! run: --tasks 1 --arg size=10 --arg colour=dark=blue -- one --two 3
--! out: one --two 3 | 10 dark=blue | arguments.lua | one --two 3 10
function generate_data() end
function execute_code() return arg[1] .. " " .. arg[2] .. " " .. arg[3] .. " " .. arg.size end
function interpret_results()
  return ("%s %s %s | %s %s | %s | %s"):format(arg[1], arg[2], arg[3], arg.size, arg.colour,
    arg[0]:match("[^/]+$"), results[1])
end
