-- expect: ok changed
function execute_code()
  for _, library in ipairs({ string, table, math, os, bit32, utf8, coroutine, io, midas, debug, bit }) do
    for k in pairs(library) do library[k] = nil end
    setmetatable(library, { __index = function() error("poisoned") end })
  end
  print, pairs, tostring, require = nil, nil, nil, nil
  return "changed"
end
