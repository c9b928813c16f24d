-- _print, _progress and _check are there, in generate_data, execute_code and interpret_results.
--! run: --tasks 1
--! out: ok
--! err: printed by generate
--! err: printed by execute
--! err: printed by interpret
function generate_data() _print("printed by generate") _check() _progress(10, 100) end
function execute_code()
  for i = 1, 1000 do _progress(i / 10, 1000) _check() end
  _print("printed by execute")
end
function interpret_results() _print("printed by interpret") _progress(100, 0) _check() return "ok" end
