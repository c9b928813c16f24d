-- What workers do in Lua; work.py has the same by the same names.

local ELEMENTS_PER_PAGE = 512

function identity(value)
  return value
end

function add_up(value)
  local total = 0
  for i = 1, 100 do total = total + i * value end
  return total
end

function spin(steps)
  local x = 0.5
  for _ = 1, steps do x = x * 0.999999 + 1e-6 end
  return x
end

function touch(array)
  local total = 0
  for i = 1, #array, ELEMENTS_PER_PAGE do total = total + array[i] end
  return total
end

function fill(length)
  local array = midas.array("float64", length)
  for i = 1, length do array[i] = 1.5 end
  return array
end

function mark(record)
  record.marked = true
  return record
end
