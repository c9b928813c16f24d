-- expect: ok refused
function execute_code()
  if getfenv or setfenv or module then return "fenv" end
  if load("return _G")() ~= _G or loadstring("return _G")() ~= _G then return "load" end
  local co = coroutine.wrap(function() return load("return _G")() end)
  if co() ~= _G then return "coroutine" end
  local mt = getmetatable(_G)
  if mt ~= nil then return "getmetatable(_G)" end
  local ok, loose = pcall(load, "return _G", "x", "t", nil)
  if ok and loose then return "nil environment" end
  if load("return _G", "x", "t", {})() ~= nil then return "own environment" end
  for _, f in ipairs({ "execute", "getenv", "remove", "rename", "tmpname", "setlocale" }) do
    if pcall(os[f], "x") then return "os." .. f end
  end
  for _, f in ipairs({ "open", "popen", "lines", "read", "input", "output", "tmpfile" }) do
    if pcall(io[f], "x") then return "io." .. f end
  end
  if pcall(dofile, "x") or pcall(loadfile, "x") then return "files" end
  return "refused"
end
