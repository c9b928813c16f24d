-- math.random's stream of each call: a well mixed function of (seed, function, round, index).
--
-- seed(stream, round, index) seeds the state's generator.  Neighbouring indices differ in every
-- bit; for one (stream, round) no two indices below 2^32 begin alike.
local seed_low, seed_high = ...
local randomseed, floor, byte = math.randomseed, math.floor, string.byte
local band, bxor, rshift, tobit = bit.band, bit.bxor, bit.rshift, bit.tobit

local WORD = 2 ^ 32

-- The low 32 bits of a product: every step stays below 2^53, hence exact.
local function multiply(a, b)
  a = a % WORD
  return tobit(a * band(b, 0xffff) + (a * rshift(b, 16)) % 0x10000 * 0x10000)
end

-- The finaliser of MurmurHash3: one-to-one, and every input bit moves every output bit.
local function mix(h)
  h = multiply(bxor(h, rshift(h, 16)), 0x85ebca6b)
  h = multiply(bxor(h, rshift(h, 13)), 0xc2b2ae35)
  return bxor(h, rshift(h, 16))
end

local current_stream, current_round, low, high

local function choose(stream, round)
  low, high = tobit(seed_low), tobit(seed_high)
  for i = 1, #stream do
    low, high = mix(bxor(low, byte(stream, i))), mix(bxor(high, low))
  end
  low = mix(bxor(low, tobit(round % WORD)))
  high = mix(bxor(high, tobit(floor(round / WORD)), low))
  current_stream, current_round = stream, round
end

local function seed(stream, round, index)
  if stream ~= current_stream or round ~= current_round then choose(stream, round) end
  local first = mix(bxor(low, tobit(index % WORD)))
  local second = mix(bxor(high, tobit(floor(index / WORD)), first))
  randomseed(second % WORD * 0x200000 + rshift(mix(bxor(first, high)), 11))
end

return seed
