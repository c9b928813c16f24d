-- A table to bytes and back by what LuaJIT has built in, which no other Lua can read.

local buffer = require "string.buffer"

return function(table)
  return buffer.decode(buffer.encode(table))
end
