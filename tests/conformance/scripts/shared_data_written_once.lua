-- No result counts that rests on shared data which a task has changed, wherever and by one task only.
--! run: --tasks 12 --on-error continue
--! exit: 1
--! out: wrong: 0, task 4 failed
--! err: wrote into shared_data: all tasks of a worker share it, so copy what is to be changed
function generate_shared_data()
  local numbers = {}
  for i = 1, 2000 do numbers[i] = i end
  return numbers
end
function generate_data() end
function execute_code()
  if midas.index == 3 then shared_data[1990] = 0 end
  local sum = 0
  for _, x in ipairs(shared_data) do sum = sum + x end
  return sum
end
function interpret_results()
  local wrong = 0
  for i = 1, results.n do
    if results[i] and results[i] ~= 2001000 then wrong = wrong + 1 end
  end
  return ("wrong: %d, task 4 %s"):format(wrong, results[4] and "counts" or "failed")
end
