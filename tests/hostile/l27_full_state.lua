-- expect: memory
-- A later call in the same state must still answer: the runner asks for one.
hoard = {}
function execute_code()
  while true do hoard[#hoard + 1] = ("x"):rep(100) .. #hoard end
end
