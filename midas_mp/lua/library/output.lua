-- What leaves a script while it runs: one record per write, live, in order.
--
--   output.enter(round, index)    whose records these are from now on
--   output.print(text)            one printed text, without its line end
--   output.write(text)            io.write: whole lines leave at once, the rest waits for more
--   output.flush()                what waits leaves
--   output.progress(fraction, interval_s)
--   output.leave()                the call is over: what waits leaves, and what was dropped is told,
--                                 unless that was done just before
--   output.tell_dropped()         it is told in any case
--   output.bytes() -> number      written so far by this state
--
-- Workers print at a bounded rate: a loop that prints a million lines a second would fill the
-- user's terminal, and the connection that it shares with everybody's results.  What is over is
-- dropped and counted.  Once some is dropped all is, until a second's worth is free again: else a
-- note would stand between any two lines.
local settings, pipe, valve = ...
local sub, format, find = string.sub, string.format, string.find

local PENDING_BYTES_MAX = 2 ^ 16
local CUT = "... (cut: one print may have %d bytes)"
local NEVER = -math.huge
local LOOK_INTERVAL_S = 0.001 -- at the clock, by progress

local text_bytes_max = settings.print_bytes_max
local pending = ""
local round, index = 0, 0
local last_progress, is_complete = NEVER, false
local skip, skipped = 0, 0 -- calls of progress between two looks, and since the last
local last_look, last_second = 0, 0

local function print_text(text)
  if #text > text_bytes_max then
    local note = format(CUT, text_bytes_max)
    text = sub(text, 1, text_bytes_max - #note) .. note
  end
  local is_open = valve.is_open(#text)
  local note
  if is_open then note = valve.note() else note = valve.closing_note() end
  if note then pipe.print(round, index, note) end
  if is_open then pipe.print(round, index, text) end
end

local output = { bytes = pipe.bytes }

function output.enter(new_round, new_index)
  round, index = new_round, new_index
  last_progress, is_complete, skip, skipped = NEVER, false, 0, 0
end

function output.flush()
  if pending ~= "" then
    local text = pending
    pending = ""
    print_text(text)
  end
end

function output.leave()
  output.flush()
  local note = valve.final_note()
  if note then pipe.print(round, index, note) end
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

function output.tell_dropped()
  local note = valve.note()
  if note then pipe.print(round, index, note) end
end

-- Calls that follow each other fast do not all look at the clock where that is dear.
local function choose_skip(time)
  if time - last_look < LOOK_INTERVAL_S then
    skip = skip * 2 + 1
    if skip > pipe.skip_max then skip = pipe.skip_max end
  else
    skip = 0
  end
  last_look, last_second = time, pipe.wall()
end

function output.progress(fraction, interval_s)
  if skipped < skip and fraction < 1 and interval_s > 0 and pipe.wall() == last_second then
    skipped = skipped + 1
    return
  end
  local time = pipe.now()
  skipped = 0
  choose_skip(time)
  if time < last_progress + interval_s and (fraction < 1 or is_complete) then return end
  if fraction ~= fraction then return end
  last_progress = time
  is_complete = fraction >= 1
  fraction = fraction < 0 and 0 or fraction > 1 and 1 or fraction
  pipe.progress(round, index, fraction)
end

return output
