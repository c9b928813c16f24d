-- luajit run_kernel.lua KERNELS.LUA NAME N CALLS: prints the answer, then the seconds of each call.

local file, name, n, calls = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
dofile(file)
for i = 1, calls do
  local told = timed(name, n)
  if i == 1 then print(("%.17g"):format(told.answer)) end
  print(told.seconds)
end
