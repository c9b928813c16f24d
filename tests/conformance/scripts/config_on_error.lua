-- config.on_error = "continue": results[i] is nil, errors[i] the message, interpret_results runs, and the
-- exit code is 1.
--! run: --tasks 3
--! exit: 1
--! out: 1,nil,3 nil / two is bad / nil
config = { on_error = "continue" }
function generate_data(index) return index + 1 end
function execute_code() if global_data == 2 then error("two is bad", 0) end return global_data end
function interpret_results()
  return ("%s,%s,%s %s / %s / %s"):format(tostring(results[1]), tostring(results[2]),
    tostring(results[3]), tostring(errors[1]), tostring(errors[2]), tostring(errors[3]))
end
