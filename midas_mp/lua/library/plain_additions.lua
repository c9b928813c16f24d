-- Names of Lua 5.1 that scripts use and the engines of PUC-Rio have given up.
local next, type = next, type
local abs, exp, floor, log, huge = math.abs, math.exp, math.floor, math.log, math.huge

local additions = { math = {}, table = {} }
local math, table = additions.math, additions.table

math.atan2 = _G.math.atan

function math.pow(x, y) return x ^ y end
function math.log10(x) return log(x, 10) end

function math.cosh(x) return (exp(x) + exp(-x)) / 2 end

-- Near 0 the two exponentials would cancel each other out.
local function sinh(x)
  if abs(x) > 0.1 then return (exp(x) - exp(-x)) / 2 end
  local q = x * x
  return x * (1 + q / 6 * (1 + q / 20 * (1 + q / 42 * (1 + q / 72))))
end

math.sinh = sinh

function math.tanh(x)
  if abs(x) > 0.1 then return 1 - 2 / (exp(2 * x) + 1) end
  return sinh(x) / math.cosh(x)
end

-- In two steps: the power alone may be too large, or too small.
function math.ldexp(x, exponent)
  local half = exponent // 2
  return x * 2.0 ^ half * 2.0 ^ (exponent - half)
end

function math.frexp(x)
  if x == 0 or x ~= x or abs(x) == huge then return x, 0 end
  local shift = 0
  if abs(x) < 0x1p-1022 then x, shift = x * 0x1p54, 54 end
  local exponent = floor(log(abs(x), 2)) + 1
  local half = exponent // 2
  local fraction = x / 2.0 ^ half / 2.0 ^ (exponent - half)
  if abs(fraction) >= 1 then fraction, exponent = fraction / 2, exponent + 1 end
  if abs(fraction) < 0.5 then fraction, exponent = fraction * 2, exponent - 1 end
  return fraction, exponent - shift
end

function table.getn(t) return #t end

function table.maxn(t)
  local largest = 0
  for k in next, t do
    if type(k) == "number" and k > largest then largest = k end
  end
  return largest
end

function table.foreach(t, f)
  for k, v in next, t do
    local stop = f(k, v)
    if stop ~= nil then return stop end
  end
end

function table.foreachi(t, f)
  for i = 1, #t do
    local stop = f(i, t[i])
    if stop ~= nil then return stop end
  end
end

return additions
