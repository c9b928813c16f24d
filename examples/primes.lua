-- Which numbers of up to 48 bits are prime, and what is the least divisor of those that are not?
--
--   midas run examples/primes.lua                                   some numbers worth a look
--   midas run examples/primes.lua -- 99999999999973 4294967297
--
-- One task per number would leave cores idle at the end, so each task tries a range of divisors
-- of every number: the work is the same for all tasks.

local numbers = {
  281474976710597, -- the largest prime below 2^48
  281474976710591, -- the prime before it
  281474876047369, -- 16777213 squared: the worst case
  281474372730979, -- 16777183 * 16777213
  7420738134811, -- the product of the primes up to 37, plus one
  274876858369, -- 524287 squared, a Mersenne prime
  99999999999973,
}
if #arg > 0 then
  numbers = {}
  for i, text in ipairs(arg) do
    local n = tonumber(text)
    if not n or n % 1 ~= 0 or n < 2 or n > 2 ^ 48 then
      error(text .. " is not a whole number from 2 to 2^48", 0)
    end
    numbers[i] = n
  end
end

function generate_data(index, count)
  return { numbers = numbers, part = index, parts = count }
end

-- The least divisor of n from the odd numbers first, first + 2, … last, or nil.
local function least_divisor(n, first, last)
  for d = first, last, 2 do
    if n % d == 0 then
      return d
    end
  end
end

function execute_code()
  local found = {}
  local part, parts = global_data.part, global_data.parts
  for i, n in ipairs(global_data.numbers) do
    local limit = math.floor(math.sqrt(n))
    local width = math.ceil((limit + 1) / parts)
    local first, last = math.max(3, part * width), math.min(limit, part * width + width - 1)
    local divisor = (part == 0 and n % 2 == 0 and n > 2) and 2
      or least_divisor(n, first + (first + 1) % 2, last)
    found[i] = divisor or false
    _progress(100 * i / #global_data.numbers)
  end
  return found
end

function interpret_results()
  local lines = {}
  for i, n in ipairs(numbers) do
    local least
    for _, found in ipairs(results) do -- the ranges ascend, so the first hit is the least
      least = least or found[i]
    end
    lines[i] = string.format("%15d  ", n) .. (least and "divisible by " .. string.format("%d", least) or "prime")
  end
  return table.concat(lines, "\n")
end
