-- print and midas.print reach the user's stderr, in order per task; bytes that are not UTF-8 and
-- what a terminal would obey are shown, not obeyed.
--! run: --tasks 1
--! out: done
--! err: first line
--! err: a	b	nil	true	1.5
--! err: bell \x07 escape \x1b[31m byte \xff
--! err: last line
function generate_data() end
function execute_code()
  print("first line")
  midas.print("a", "b", nil, true, 1.5)
  print("bell \7 escape \27[31m byte \255")
  for i = 1, 1000 do midas.progress(i / 1000) midas.check() end
  print("last line")
end
function interpret_results() return "done" end
