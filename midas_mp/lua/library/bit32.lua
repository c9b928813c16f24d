-- Lua 5.2's bit32 on top of the engine's operations: the same, but unsigned, and with shifts that
-- do not wrap around at 32.
local bit = ...
local error, select = error, select
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local lshift, rshift, arshift, rol, tobit = bit.lshift, bit.rshift, bit.arshift, bit.rol, bit.tobit

local WORD = 0x100000000 -- an integer where there are such

local function signed(x)
  return tobit(x % WORD)
end

local bit32 = {}

function bit32.band(...)
  local r = -1
  for i = 1, select("#", ...) do r = band(r, signed((select(i, ...)))) end
  return r % WORD
end

function bit32.bor(...)
  local r = 0
  for i = 1, select("#", ...) do r = bor(r, signed((select(i, ...)))) end
  return r % WORD
end

function bit32.bxor(...)
  local r = 0
  for i = 1, select("#", ...) do r = bxor(r, signed((select(i, ...)))) end
  return r % WORD
end

function bit32.btest(...)
  return bit32.band(...) ~= 0
end

function bit32.bnot(x)
  return bnot(signed(x)) % WORD
end

function bit32.lshift(x, by)
  if by < 0 then return bit32.rshift(x, -by) end
  return by > 31 and 0 or lshift(signed(x), by) % WORD
end

function bit32.rshift(x, by)
  if by < 0 then return bit32.lshift(x, -by) end
  return by > 31 and 0 or rshift(signed(x), by) % WORD
end

function bit32.arshift(x, by)
  if by < 0 then return bit32.lshift(x, -by) end
  return arshift(signed(x), by > 31 and 31 or by) % WORD
end

function bit32.lrotate(x, by)
  return rol(signed(x), by % 32) % WORD
end

function bit32.rrotate(x, by)
  return rol(signed(x), -by % 32) % WORD
end

local function field_mask(field, width)
  width = width or 1
  if field < 0 then error("field cannot be negative", 3) end
  if width < 1 then error("width must be positive", 3) end
  if field + width > 32 then error("trying to access non-existent bits", 3) end
  return width == 32 and -1 or lshift(1, width) - 1
end

function bit32.extract(x, field, width)
  local mask = field_mask(field, width)
  return band(rshift(signed(x), field), mask) % WORD
end

function bit32.replace(x, value, field, width)
  local mask = field_mask(field, width)
  local kept = band(signed(x), bnot(lshift(mask, field)))
  return bor(kept, lshift(band(signed(value), mask), field)) % WORD
end

return bit32
