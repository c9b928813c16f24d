-- luajit run_kernel.lua KERNELS.LUA NAME N ROUNDS: prints the answer, then the seconds of each.
-- The first round is for the compiler and does not count, as for everybody.

local file, name, n, rounds = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
dofile(file)
local first = timed(name, n)
print(("%.17g"):format(first.answer))
for _ = 1, rounds do
  print(timed(name, n).seconds)
end
