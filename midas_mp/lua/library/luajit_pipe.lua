-- The output pipe, which was opened before the script was loaded, for LuaJIT: write(2) by ffi.
--
--   pipe.print(round, index, text)          one record, written at once
--   pipe.progress(round, index, fraction)   the same
--   pipe.bytes() -> number                  written so far by this state
--   pipe.now() -> seconds                   while a task runs; only goes forwards
--   pipe.skip_max                           how many looks at it may be left out
--   pipe.wall() -> seconds                  goes on always, perhaps second by second
local settings = ...
local ffi, buffer = require("ffi"), require("string.buffer")
local tonumber = tonumber

ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } midas_time;
  typedef struct { int fd; short wanted; short got; } midas_poll;
  int clock_gettime(int clock, midas_time *time);
  long write(int fd, const void *bytes, size_t count);
  int poll(midas_poll *what, unsigned long count, int timeout_ms);
]])
local C = ffi.C

-- Linux: good to 4 ms, and a third of the price of the exact clock.
local MONOTONIC_COARSE = 6
local EINTR, EAGAIN, POLLOUT = 4, 11, 4

local fd, job = settings.output_fd, settings.job
local time = ffi.new("midas_time")
local record = buffer.new()
local written = 0

-- The pipe may be full, or its reader gone: wait for the first, forget the record for the other.
local function send()
  local start, left = record:ref()
  while left > 0 do
    local count = tonumber(C.write(fd, start, left))
    if count >= 0 then
      start, left, written = start + count, left - count, written + count
    elseif ffi.errno() == EAGAIN then
      C.poll(ffi.new("midas_poll", fd, POLLOUT, 0), 1, -1)
    elseif ffi.errno() ~= EINTR then
      break
    end
  end
  record:reset()
end

local pipe = { skip_max = 0 }

function pipe.print(round, index, text)
  record:reset()
  record:putf("P %s %d %d %d\n", job, round, index, #text)
  record:put(text)
  send()
end

function pipe.progress(round, index, fraction)
  record:reset()
  record:putf("G %s %d %d %.6f\n", job, round, index, fraction)
  send()
end

function pipe.bytes()
  return written
end

function pipe.now()
  C.clock_gettime(MONOTONIC_COARSE, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

pipe.wall = pipe.now

return pipe
