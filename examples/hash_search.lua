-- The smallest number that, written behind a text, gives a SHA-256 hash with so many leading
-- zeros: the proof of work of Bitcoin.  Searched in rounds, since nobody knows how far it is.
--
--   midas run examples/hash_search.lua
--   midas run examples/hash_search.lua -- "some text" 5

config = { tasks = "4x" }

local text, zeros = arg[1] or "midas ", tonumber(arg[2] or 4)
assert(zeros and zeros >= 0 and zeros <= 8 and zeros % 1 == 0, "the zeros must be a number from 0 to 8")
local wanted = ("0"):rep(zeros)

local SPAN = 5000 -- numbers for each task: some milliseconds and more

local band, bnot, bxor = bit32.band, bit32.bnot, bit32.bxor
local rshift, rrotate = bit32.rshift, bit32.rrotate

-- The first 32 bits of the fractional parts of the cube and square roots of the first 64 primes.
local K, H, prime = {}, {}, 2
while #K < 64 do
  local is_prime = true
  for i = 2, math.floor(prime ^ 0.5) do is_prime = is_prime and prime % i > 0 end
  if is_prime then
    K[#K + 1] = math.floor(prime ^ (1 / 3) % 1 * 2 ^ 32)
    if #H < 8 then H[#H + 1] = math.floor(prime ^ 0.5 % 1 * 2 ^ 32) end
  end
  prime = prime + 1
end

local function sha256(message)
  local length = #message
  message = message .. "\128" .. ("\0"):rep((55 - length) % 64 + 4)
  for shift = 24, 0, -8 do message = message .. string.char(math.floor(length * 8 / 2 ^ shift) % 256) end
  local h, w = { unpack(H) }, {}
  for start = 1, #message, 64 do
    for i = 1, 16 do
      local a, b, c, d = message:byte(start + 4 * i - 4, start + 4 * i - 1)
      w[i] = ((a * 256 + b) * 256 + c) * 256 + d
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      x = bxor(rrotate(x, 7), rrotate(x, 18), rshift(x, 3))
      y = bxor(rrotate(y, 17), rrotate(y, 19), rshift(y, 10))
      w[i] = (w[i - 16] + x + w[i - 7] + y) % 2 ^ 32
    end
    local a, b, c, d, e, f, g, z = unpack(h)
    for i = 1, 64 do
      local t = z + bxor(rrotate(e, 6), rrotate(e, 11), rrotate(e, 25))
        + bxor(band(e, f), band(bnot(e), g)) + K[i] + w[i]
      local u = bxor(rrotate(a, 2), rrotate(a, 13), rrotate(a, 22))
        + bxor(band(a, b), band(a, c), band(b, c))
      a, b, c, d, e, f, g, z = (t + u) % 2 ^ 32, a, b, c, (d + t) % 2 ^ 32, e, f, g
    end
    for i, x in ipairs({ a, b, c, d, e, f, g, z }) do h[i] = (h[i] + x) % 2 ^ 32 end
  end
  return ("%08x"):rep(8):format(unpack(h))
end

local first, found = 0, nil

function generate_data(index, count)
  return { first = first + index * SPAN }
end

function execute_code()
  for number = global_data.first, global_data.first + SPAN - 1 do
    if sha256(text .. string.format("%d", number)):sub(1, zeros) == wanted then return number end
  end
end

function next_round(round)
  for i = results.n, 1, -1 do found = results[i] or found end
  first = first + results.n * SPAN
  return not found
end

function interpret_results()
  return string.format("%s%d\n%s", text, found, sha256(text .. string.format("%d", found)))
end
