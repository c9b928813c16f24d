-- expect: ok refused
function execute_code()
  local bytecode = "\27LJ\2\10\0\0\0"
  for _, prefix in ipairs({ "", "\239\187\191", "#!x\n", "\239\187\191#!x\n" }) do
    for _, mode in ipairs({ "b", "t", "bt", false }) do
      if load(prefix .. bytecode, "x", mode or nil) then return "loaded" end
    end
    if loadstring(prefix .. bytecode) then return "loaded" end
  end
  if string.dump or ("").dump then return "dump" end
  if load(function() return bytecode end) then return "reader" end
  return "refused"
end
