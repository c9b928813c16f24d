-- globals_used(source, name) -> the globals that functions of a chunk use, and those it assigns.
-- The chunk itself may read globals: it runs before the real ones are taken away.
local jit_util = require("jit.util")

local function opcodes_of(f)
  local list, i = {}, 1
  while true do
    local instruction = jit_util.funcbc(f, i)
    if not instruction then return list end
    list[i], i = instruction, i + 1
  end
end

local function opcode(instruction)
  return bit.band(instruction, 0xff)
end

local reading = opcodes_of(load("return function() return x end")())
local writing = opcodes_of(load("return function() x = 1 end")())
local GLOBAL_GET, GLOBAL_SET = opcode(reading[1]), opcode(writing[#writing - 1])

local function walk(proto, is_chunk, found)
  for _, instruction in ipairs(opcodes_of(proto)) do
    local code = opcode(instruction)
    if code == GLOBAL_SET or (code == GLOBAL_GET and not is_chunk) then
      found[#found + 1] = tostring(jit_util.funck(proto, -bit.rshift(instruction, 16) - 1))
    end
  end
  local i = -1
  while true do
    local ok, constant = pcall(jit_util.funck, proto, i)
    if not ok or constant == nil then return found end
    if type(constant) == "proto" then walk(constant, false, found) end
    i = i - 1
  end
end

return function(source, name)
  return table.concat(walk(assert(load(source, name)), true, {}), " ")
end
