-- k-means clustering in rounds: each round gives every point to the nearest centre, then moves the
-- centres to the middle of their points, until none moves any more.
--
--   midas run examples/kmeans.lua
--   midas run examples/kmeans.lua -- 4                       four clusters
--   midas run examples/kmeans.lua -- 3 my_points.csv         points of your own
--
-- kmeans.csv beside this file holds Fisher's measurements of 150 irises (1936).

config = { tasks = "2x" }

local k = tonumber(arg[1] or 3)
local points, centres, sizes -- where generate_data runs, from the first round to the last

local function read(path)
  local rows = {}
  for line in assert(io.open(path)):lines() do
    local row = {}
    for number in line:gmatch("[^,%s]+") do row[#row + 1] = tonumber(number) end
    if #row > 0 then rows[#rows + 1] = row end
  end
  return rows
end

local function add(sum, point)
  for d, x in ipairs(point) do sum[d] = (sum[d] or 0) + x end
end

function generate_shared_data()
  if not points then
    points, centres = read(arg[2] or midas.dir .. "/kmeans.csv"), {}
    assert(k and k >= 1 and k <= #points, "there must be 1 cluster or more, and as many points")
    for i = 1, k do centres[i] = points[math.floor((i - 0.5) * #points / k) + 1] end
  end
  return centres
end

function generate_data(index, count)
  local part = {}
  for i = index + 1, #points, count do part[#part + 1] = points[i] end
  return part
end

function execute_code()
  local groups = {}
  for i = 1, #shared_data do groups[i] = { size = 0, sum = {} } end
  for _, point in ipairs(global_data) do
    local best, least = nil, math.huge
    for i, centre in ipairs(shared_data) do
      local distance = 0
      for d, x in ipairs(point) do distance = distance + (x - centre[d]) ^ 2 end
      if distance < least then best, least = groups[i], distance end
    end
    best.size = best.size + 1
    add(best.sum, point)
  end
  return groups
end

function next_round(round)
  local moved = 0
  sizes = {}
  for i, old in ipairs(centres) do
    local sum, new = {}, {}
    sizes[i] = 0
    for _, groups in ipairs(results) do
      sizes[i] = sizes[i] + groups[i].size
      add(sum, groups[i].sum)
    end
    for d, x in ipairs(old) do
      new[d] = sizes[i] > 0 and sum[d] / sizes[i] or x
      moved = math.max(moved, math.abs(new[d] - x))
    end
    centres[i] = new
  end
  return moved > 1e-9
end

function interpret_results()
  local lines = { midas.round + 1 .. " rounds" }
  for i, centre in ipairs(centres) do
    local numbers = {}
    for d, x in ipairs(centre) do numbers[d] = string.format("%.4f", x) end
    lines[#lines + 1] = string.format("%4d points around (%s)", sizes[i], table.concat(numbers, ", "))
  end
  return table.concat(lines, "\n")
end
