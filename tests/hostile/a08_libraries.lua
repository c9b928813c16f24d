-- expect: ok refused
-- Whatever Lua's own functions do with an array, its elements stay what they are.
function execute_code()
  local a = midas.array("float64", { 3, 1, 2 })
  local functions = {}
  for _, library in ipairs({ "table", "string", "math", "coroutine", "os", "debug", "bit32", "io" }) do
    for name, f in pairs(_G[library]) do
      if type(f) == "function" and name ~= "sort" and name ~= "insert" and name ~= "remove" and name ~= "move"
        and name ~= "foreach" and name ~= "foreachi" then
        functions[library .. "." .. name] = f
      end
    end
  end
  for _, name in ipairs({ "next", "rawget", "rawset", "rawlen", "rawequal", "select", "setmetatable",
    "getmetatable", "load", "loadstring", "require", "tonumber", "unpack", "assert", "collectgarbage" }) do
    functions[name] = _G[name]
  end
  for name, f in pairs(functions) do
    pcall(f, a)
    pcall(f, a, 1)
    pcall(f, a, 1, 2)
    pcall(f, 1, a)
    pcall(f, "x", a)
    pcall(f, "x", "x", a)
    pcall(f, a, a, a)
    pcall(f, {}, a)
    local b = a:copy()
    if #b ~= 3 or b[1] ~= 3 or b[2] ~= 1 or b[3] ~= 2 then return "changed by " .. name end
  end
  return "refused"
end
