-- In how many ways can n queens stand on an n x n board so that none attacks another?
--
--   midas run examples/queens.lua              n = 12: 14200
--   midas run examples/queens.lua -- 15        2279184, in some seconds
--
-- One task for each way to place the queens of the first two rows; a bit stands for a column.

local n = tonumber(arg[1] or 12)
if not n or n < 2 or n > 20 or n % 1 ~= 0 then
  error("the size of the board must be a whole number from 2 to 20", 0)
end

config = { tasks = n * n }

local band, bnot, bor = bit32.band, bit32.bnot, bit32.bor
local lshift, rshift = bit32.lshift, bit32.rshift

function generate_data(index, count)
  return { first = math.floor(index / n), second = index % n }
end

-- The ways to fill the rest, given the columns and both kinds of diagonals that are taken.
local function count(columns, left, right, all)
  if columns == all then return 1 end
  local ways = 0
  local free = band(all, bnot(bor(columns, left, right)))
  while free ~= 0 do
    local queen = band(free, -free)
    free = free - queen
    ways = ways + count(bor(columns, queen), lshift(bor(left, queen), 1),
      rshift(bor(right, queen), 1), all)
  end
  return ways
end

function execute_code()
  local first, second = 2 ^ global_data.first, 2 ^ global_data.second
  if math.abs(global_data.first - global_data.second) < 2 then return 0 end
  local left = lshift(bor(lshift(first, 1), second), 1)
  local right = rshift(bor(rshift(first, 1), second), 1)
  return count(bor(first, second), left, right, 2 ^ n - 1)
end

function interpret_results()
  local ways = 0
  for _, result in ipairs(results) do ways = ways + result end
  return string.format("%d queens can stand in %d ways", n, ways)
end
