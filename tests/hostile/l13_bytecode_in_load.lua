-- expect: ok refused
local function try(bytecode)
  for _, prefix in ipairs({ "", "\239\187\191", "#!x\n", "\239\187\191#!x\n" }) do
    for _, mode in ipairs({ "b", "t", "bt", false }) do
      if load(prefix .. bytecode, "x", mode or nil) then return "loaded" end
    end
    if loadstring(prefix .. bytecode) then return "loaded" end
  end
  if load(function() return bytecode end) then return "reader" end
end

function execute_code()
  if string.dump or ("").dump then return "dump" end
  return try("\27LJ\2\10\0\0\0") or try("\27LuaT\0\25\147\r\n\26\n") or try("\27LuaU\0") or "refused"
end
