-- What leaves a script while it runs: records written straight into the output pipe, which was
-- opened before the script was loaded.  One write() per record, live, in order.
--
--   output.enter(round, index)    whose records these are from now on
--   output.print(text)            one printed text, without its line end
--   output.write(text)            io.write: whole lines leave at once, the rest waits for more
--   output.flush()                what waits leaves
--   output.progress(fraction, interval_s)
--   output.bytes() -> number      written so far by this state
local settings = ...
local ffi, buffer = require("ffi"), require("string.buffer")
local sub, format, find = string.sub, string.format, string.find
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
local PENDING_BYTES_MAX = 2 ^ 16
local CUT = "... (cut: one print may have %d bytes)"

local fd, job, text_bytes_max = settings.output_fd, settings.job, settings.print_bytes_max
local now = ffi.new("midas_time")
local record = buffer.new()
local pending = ""
local written, round, index = 0, 0, 0
local last_progress, is_complete = 0, false

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

local function print_text(text)
  if #text > text_bytes_max then
    local note = format(CUT, text_bytes_max)
    text = sub(text, 1, text_bytes_max - #note) .. note
  end
  record:reset()
  record:putf("P %s %d %d %d\n", job, round, index, #text)
  record:put(text)
  send()
end

local output = {}

function output.enter(new_round, new_index)
  round, index = new_round, new_index
  last_progress, is_complete = 0, false
end

function output.flush()
  if pending ~= "" then
    local text = pending
    pending = ""
    print_text(text)
  end
end

function output.print(text)
  if pending ~= "" then
    text = pending .. text
    pending = ""
  end
  print_text(text)
end

function output.write(text)
  text = pending .. text
  local start = 1
  local stop = find(text, "\n", start, true)
  while stop do
    pending = ""
    print_text(sub(text, start, stop - 1))
    start = stop + 1
    stop = find(text, "\n", start, true)
  end
  pending = sub(text, start)
  if #pending > PENDING_BYTES_MAX then output.flush() end
end

function output.progress(fraction, interval_s)
  C.clock_gettime(MONOTONIC_COARSE, now)
  local time = tonumber(now.seconds) + tonumber(now.nanoseconds) * 1e-9
  if time < last_progress + interval_s and (fraction < 1 or is_complete) then return end
  if fraction ~= fraction then return end
  last_progress = time
  is_complete = fraction >= 1
  fraction = fraction < 0 and 0 or fraction > 1 and 1 or fraction
  record:reset()
  record:putf("G %s %d %d %.6f\n", job, round, index, fraction)
  send()
end

function output.bytes()
  return written
end

return output
