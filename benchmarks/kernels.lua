-- Five things that programs spend their time on; kernels.py has the same.

local kernels = {}

-- How many primes are below n.
function kernels.sieve(n)
  local composite, count = {}, 0
  for i = 2, n - 1 do composite[i] = false end
  for i = 2, n - 1 do
    if not composite[i] then
      count = count + 1
      for j = i * i, n - 1, i do composite[j] = true end
    end
  end
  return count
end

-- How many steps all points of an n × n picture take.
function kernels.mandelbrot(n)
  local total = 0
  for row = 0, n - 1 do
    local ci = 2 * row / n - 1
    for column = 0, n - 1 do
      local cr = 2 * column / n - 1.5
      local zr, zi, steps = 0, 0, 0
      while steps < 50 and zr * zr + zi * zi < 4 do
        zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
        steps = steps + 1
      end
      total = total + steps
    end
  end
  return total
end

local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

kernels.fib = fib

local PLANETS = {
  { x = 0, y = 0, z = 0, vx = 0, vy = 0, vz = 0, mass = 40 },
  { x = 5, y = -1, z = -0.1, vx = 0.6, vy = 2.8, vz = -0.02, mass = 0.04 },
  { x = 8, y = 4, z = -0.4, vx = -1, vy = 1.8, vz = 0.01, mass = 0.01 },
  { x = 13, y = -15, z = -0.2, vx = 1.1, vy = 0.9, vz = -0.01, mass = 0.002 },
  { x = 15, y = -26, z = 0.2, vx = 1, vy = 0.6, vz = -0.03, mass = 0.002 },
}

-- Where the first of five bodies is after n steps.
function kernels.nbody(n)
  local bodies = {}
  for i, p in ipairs(PLANETS) do
    bodies[i] = { x = p.x, y = p.y, z = p.z, vx = p.vx, vy = p.vy, vz = p.vz, mass = p.mass }
  end
  local dt = 0.001
  for _ = 1, n do
    for i = 1, #bodies do
      local a = bodies[i]
      for j = i + 1, #bodies do
        local b = bodies[j]
        local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
        local d2 = dx * dx + dy * dy + dz * dz
        local pull = dt / (d2 * math.sqrt(d2))
        a.vx, a.vy, a.vz = a.vx - dx * b.mass * pull, a.vy - dy * b.mass * pull,
          a.vz - dz * b.mass * pull
        b.vx, b.vy, b.vz = b.vx + dx * a.mass * pull, b.vy + dy * a.mass * pull,
          b.vz + dz * a.mass * pull
      end
    end
    for i = 1, #bodies do
      local a = bodies[i]
      a.x, a.y, a.z = a.x + dt * a.vx, a.y + dt * a.vy, a.z + dt * a.vz
    end
  end
  return bodies[1].x
end

-- The length of a text of n words.
function kernels.strings(n)
  local words = {}
  for i = 1, n do
    words[i] = ("word %d"):format(i % 1000):upper():sub(1, 7) .. tostring(i % 10)
  end
  return #table.concat(words, " ")
end

-- Returns the answer and the seconds of processor time that it took.
function timed(name, n)
  local start = os.clock()
  local answer = kernels[name](n)
  return { answer = answer, seconds = os.clock() - start }
end
