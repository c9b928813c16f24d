-- What LuaJIT does in its own way; plain_engine.lua has the same for the engines of PUC-Rio.
--
--   engine.bind(chunk, env)         the chunk's globals, and those of what it defines from now on
--   engine.new_table(array, hash)   an empty table with room
--   engine.clear_table(t)           empties it
--   engine.unpack                   Lua 5.1's
--   engine.number_kind(x)           "integer" or "float", where numbers are of two kinds; else nil
--   engine.bits                     operations on numbers of 32 bits: arguments and results may be
--                                   signed or not, but for `tobit`, which makes them of any integer
--   engine.names                    library -> names that scripts get besides those of all engines
--   engine.additions                library -> functions that the engine lacks
--   engine.utf8                     nil where utf8.lua must do
--   engine.check_metatable(mt)      why a script may not set it, or nil
--   engine.is_status_page(file, path)   whether what was opened to be written is Midas' own
local use, settings = ...
local ffi = require("ffi")
local new_table, clear_table = require("table.new"), require("table.clear")
local bit, setfenv, unpack = bit, setfenv, unpack

ffi.cdef("int fileno(void *file); int fcntl(int fd, int command, ...);")
local C, F_GET_SEALS, F_SEAL_SEAL = ffi.C, 1034, 1

local engine = {
  bind = setfenv, new_table = new_table, clear_table = clear_table, unpack = unpack, bits = bit,
  additions = {},
  names = {
    table = "foreach foreachi getn maxn",
    math = "atan2 cosh frexp ldexp log10 pow sinh tanh",
    bit = "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex",
    jit = "arch os version version_num",
  },
}

-- For all of the state, and no script can turn it on again.
if settings.jit_refusal ~= "" then jit.off() end

function engine.number_kind() return nil end

-- LuaJIT runs no finaliser of a table.
function engine.check_metatable() return nil end

-- None but these files are sealed.
function engine.is_status_page(file)
  return C.fcntl(C.fileno(file), F_GET_SEALS) > F_SEAL_SEAL
end

return engine
