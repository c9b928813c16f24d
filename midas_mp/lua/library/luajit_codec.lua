-- Typed arrays and the codec, as LuaJIT has them; plain_codec.lua has the same for the engines of
-- PUC-Rio.  Returns arrays, writer, reader.
local use, settings, rules = ...

local room, outbound = use("room", settings), nil
if settings.outbound_bytes > 0 then outbound = use("luajit_outbound", settings, room) end
local arrays = use("luajit_array", use, settings, rules, room, outbound)
local incoming = use("luajit_incoming", rules, arrays)
local outgoing = use("luajit_outgoing", settings, arrays, outbound)

return arrays, use("luajit_encode", settings, arrays, outgoing), use("luajit_decode", settings, incoming)
