-- How much a state may print: two buckets of tokens, one for lines and one for bytes.
--
--   valve.is_open(size) -> whether a text of that size may pass now; if not, it is counted
--   valve.closing_note() -> that it has just been shut, once; else nil
--   valve.note() -> what was dropped before this text, once; nil if nothing was
--   valve.final_note() -> the same at the end of a call, not more often than every 0.1 s
--
-- `now` must go on between calls; it need not know more than whole seconds.
local settings, now = ...
local format = string.format

local LINES_PER_S, LINES_BURST = settings.print_lines_per_s, settings.print_lines_burst
local BYTES_PER_S, BYTES_BURST = settings.print_bytes_per_s, settings.print_bytes_burst
local RATE = format(": a task may print %d lines or %g MB a second", LINES_PER_S, BYTES_PER_S / 2 ^ 20)
local DROPPED = "... %d lines (%.1f MB) were dropped" .. RATE
local CLOSING = "... lines are dropped from here on" .. RATE
local FINAL_INTERVAL_S = 0.1 -- tasks may be so short that each one's note would be a flood again

local lines, bytes, filled_at = LINES_BURST, BYTES_BURST, now()
local is_shut, is_closing = false, false
local dropped_lines, dropped_bytes = 0, 0
local noted_at = -math.huge

local function fill()
  local time = now()
  local passed = time - filled_at
  filled_at = time
  if passed < 0 then return end -- somebody has set the clock back
  lines, bytes = lines + passed * LINES_PER_S, bytes + passed * BYTES_PER_S
  if lines > LINES_BURST then lines = LINES_BURST end
  if bytes > BYTES_BURST then bytes = BYTES_BURST end
end

local function take_note()
  local text = format(DROPPED, dropped_lines, dropped_bytes / 2 ^ 20)
  dropped_lines, dropped_bytes, noted_at = 0, 0, now()
  return text
end

local valve = {}

function valve.is_open(size)
  if is_shut or lines < 1 or bytes < size then
    fill()
    local was_shut = is_shut
    is_shut = lines < 1 or bytes < size or (is_shut and (lines < LINES_PER_S or bytes < BYTES_PER_S))
    is_closing = is_shut and (is_closing or not was_shut)
    if is_shut then
      dropped_lines, dropped_bytes = dropped_lines + 1, dropped_bytes + size
      return false
    end
  end
  lines, bytes = lines - 1, bytes - size
  return true
end

-- A task that is killed takes along what it has counted.
function valve.closing_note()
  if not is_closing then return nil end
  is_closing = false
  return CLOSING
end

function valve.note()
  if dropped_lines == 0 then return nil end
  return take_note()
end

function valve.final_note()
  if dropped_lines == 0 then return nil end
  local passed = now() - noted_at
  if passed >= 0 and passed < FINAL_INTERVAL_S then return nil end
  return take_note()
end

return valve
