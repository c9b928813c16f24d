-- The driver's script cannot open the descriptors of its own process, and is told so.
--! run: --tasks 1
--! out: /dev/fd/1: a descriptor of Midas' own process cannot be opened; print and io.write reach the user
function generate_data() end
function execute_code() end
function interpret_results()
  assert(not io.open("/proc/self/fd/1", "a") and not io.open("/dev/stdout"))
  local _, message = io.open("/dev/fd/1", "w")
  return message
end
