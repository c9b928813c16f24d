-- expect: ok nothing
function execute_code()
  for _, name in ipairs({ "python", "lupa", "builtins", "eval", "Py_None" }) do
    if _G[name] ~= nil then return name end
    if pcall(require, name) then return "require " .. name end
  end
  return "nothing"
end
