-- expect: ok nothing
function execute_code()
  if debug.getregistry or debug.getinfo or debug.getupvalue or debug.setmetatable then return "debug" end
  if next(package.loaded) then return "package.loaded" end
  if package.loadlib or package.loaders or package.searchers or package.preload then return "loaders" end
  for _, name in ipairs({ "ffi", "jit.util", "jit.opt", "jit.profile", "string.buffer", "_G2" }) do
    if pcall(require, name) then return name end
  end
  if jit and (jit.on or jit.off or jit.opt or jit.util) then return "jit" end
  return "nothing"
end
