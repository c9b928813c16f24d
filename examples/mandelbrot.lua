-- A picture of the Mandelbrot set, written to mandelbrot.bmp in the working directory.
--
--   midas run examples/mandelbrot.lua
--   midas run examples/mandelbrot.lua -- 1920 1080 -0.743 0.131 0.01      size, centre, height
--
-- One task for each band of lines; a band travels as one string, three bytes for each point.

local width, height = tonumber(arg[1] or 960), tonumber(arg[2] or 640)
local centre_x, centre_y = tonumber(arg[3] or -0.6), tonumber(arg[4] or 0)
local extent = tonumber(arg[5] or 2.4) -- of the picture's height, in the plane
local DEPTH, LINES = 500, 8

if not (width and height and centre_x and centre_y and extent) or width < 1 or height < 1 then
  error("size, centre and height are numbers: 960 640 -0.6 0 2.4", 0)
end

config = { tasks = math.ceil(height / LINES) }

function generate_data(index, count)
  return { first = index * LINES, last = math.min((index + 1) * LINES, height) - 1 }
end

-- How many steps of z -> z^2 + c it takes to get away; nothing if it never does.
local function escape(x, y)
  local a, b = 0, 0
  for step = 1, DEPTH do
    local aa, bb = a * a, b * b
    if aa + bb > 4 then return step end
    a, b = aa - bb + x, 2 * a * b + y
  end
end

local function colour(step)
  if not step then return "\0\0\0" end
  local t = math.sqrt(step / DEPTH)
  return string.char(math.floor(255 * math.min(1, 0.3 + 2 * t)), math.floor(255 * t),
    math.floor(255 * t * t)) -- blue, green, red
end

function execute_code()
  local scale, points = extent / height, {}
  local padding = ("\0"):rep(-3 * width % 4) -- a line of the file ends on a multiple of 4 bytes
  for line = global_data.first, global_data.last do
    local y = centre_y - extent / 2 + (line + 0.5) * scale -- the file begins at the bottom
    for column = 0, width - 1 do
      local x = centre_x + (column + 0.5 - width / 2) * scale
      points[#points + 1] = colour(escape(x, y))
    end
    points[#points + 1] = padding
  end
  return table.concat(points)
end

local function bytes(size, value)
  local text = ""
  for _ = 1, size do
    text, value = text .. string.char(value % 256), math.floor(value / 256)
  end
  return text
end

function interpret_results()
  local pixels = table.concat(results)
  local file = assert(io.open("mandelbrot.bmp", "wb"))
  file:write("BM", bytes(4, 54 + #pixels), bytes(4, 0), bytes(4, 54), bytes(4, 40), bytes(4, width),
    bytes(4, height), bytes(2, 1), bytes(2, 24), bytes(4, 0), bytes(4, #pixels), bytes(16, 0), pixels)
  file:close()
  return string.format("mandelbrot.bmp: %d x %d points", width, height)
end
