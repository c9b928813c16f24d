-- Pi by Monte Carlo: the same answer on any number of workers, since every task draws from a
-- stream of its own, seeded by --seed and its index.
--
--   midas run examples/pi.lua
--   midas run examples/pi.lua --seed 7 -- 1e9        a thousand million points

config = { tasks = 64 }

local points = tonumber(arg[1] or 1e8)
if not points or points < 1 then
  error("the number of points must be a number of 1 or more", 0)
end

function generate_data(index, count)
  -- the first tasks take one point more where the number does not divide evenly
  local points = math.floor(points)
  return { points = math.floor(points / count) + (index < points % count and 1 or 0) }
end

function execute_code()
  local random, inside = math.random, 0
  for i = 1, global_data.points do
    local x, y = random(), random()
    if x * x + y * y < 1 then
      inside = inside + 1
    end
  end
  return { inside = inside, points = global_data.points }
end

function interpret_results()
  local inside, points = 0, 0
  for _, result in ipairs(results) do
    inside, points = inside + result.inside, points + result.points
  end
  local share = inside / points
  local deviation = 4 * math.sqrt(share * (1 - share) / points)
  return string.format("pi = %.6f +- %.6f (%d points)", 4 * share, deviation, points)
end
