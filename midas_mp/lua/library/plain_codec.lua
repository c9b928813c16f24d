-- Typed arrays and the codec of the engines of PUC-Rio; see luajit_codec.lua.
local use, settings, rules, engine = ...

local arrays = use("plain_array", settings, rules, engine, use("room", settings))
local buffers = use("plain_buffers", settings, rules, arrays)

return arrays, use("plain_encode", settings, arrays, buffers),
  use("plain_decode", settings, engine, buffers)
