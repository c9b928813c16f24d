-- math.random's stream of each call, for the engines of PUC-Rio: as luajit_seed.lua, with 64 bits.
local seed_low, seed_high = ...
local randomseed, byte = math.randomseed, string.byte

-- The finaliser of SplitMix64: one-to-one, and every input bit moves every output bit.
local function mix(h)
  h = (h ~ (h >> 30)) * 0xbf58476d1ce4e5b9
  h = (h ~ (h >> 27)) * 0x94d049bb133111eb
  return h ~ (h >> 31)
end

local current_stream, current_round, base

local function choose(stream, round)
  base = mix(seed_high << 32 | seed_low)
  for i = 1, #stream do base = mix(base ~ byte(stream, i)) end
  base = mix(base ~ round)
  current_stream, current_round = stream, round
end

local function seed(stream, round, index)
  if stream ~= current_stream or round ~= current_round then choose(stream, round) end
  local first = mix(base ~ index)
  randomseed(first, mix(first ~ base))
end

return seed
