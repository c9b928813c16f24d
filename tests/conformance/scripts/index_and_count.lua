-- generate_data is called once per task on the driver, with the 0-based index and the number of
-- tasks, which is by default the number of registered workers.
--! out: 0/2 1/2
local calls = {}
function generate_data(index, count)
  calls[#calls + 1] = index
  return { text = index .. "/" .. count }
end
function execute_code() return { text = global_data.text } end
function interpret_results()
  assert(#calls == 2, "one call per task")
  return results[1].text .. " " .. results[2].text
end
