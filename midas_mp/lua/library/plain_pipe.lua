-- The output pipe for the engines of PUC-Rio, which can write to a file of C's only; the interface
-- is told in luajit_pipe.lua.
--
-- A worker has put the pipe on descriptor 1, which is C's stdout; any other descriptor is opened
-- by its name, for which the process must not be confined yet.  The pipe blocks while it is full:
-- C gives up what it could not write at once.
local settings = ...
local format, clock, time = string.format, os.clock, os.time

local fd, job = settings.output_fd, settings.job
local file = fd == 1 and io.stdout or assert(io.open("/dev/fd/" .. fd, "wb"))
local write, flush = file.write, file.flush
local written = 0

file:setvbuf("full")

local function send(header, text)
  if write(file, header, text) and flush(file) then written = written + #header + #text end
end

-- The clock is that of the processor time, which stands still between tasks: a task that runs uses
-- it all.  A look costs as much as ten calls of Lua's; the wall's is cheap, and good to a second.
local pipe = { now = clock, skip_max = 31, wall = time }

function pipe.print(round, index, text)
  send(format("P %s %d %d %d\n", job, round, index, #text), text)
end

function pipe.progress(round, index, fraction)
  send(format("G %s %d %d %.6f\n", job, round, index, fraction), "")
end

function pipe.bytes()
  return written
end

return pipe
