-- A worker has no files, no processes, no debug library, and no way to load bytecode.
--! run: --tasks 1
--! out: ok
function generate_data() end
function execute_code()
  assert(not pcall(io.open, "/etc/passwd") and not pcall(os.execute, "true"))
  assert(not pcall(os.exit) and not pcall(io.popen, "true") and not pcall(dofile, "x"))
  assert(debug.getregistry == nil and debug.sethook == nil and ffi == nil and python == nil)
  assert(package.loadlib == nil and not pcall(require, "ffi") and not pcall(require, "lupa"))
  assert(string.dump == nil and newproxy == nil and getfenv == nil and load("\27Lua") == nil)
  return os.time() > 0 and os.clock() >= 0 and os.date ~= nil
end
function interpret_results() assert(results[1]) return "ok" end
