-- expect: ok [1, 2]
function execute_code()
  local function loop() while true do end end
  return setmetatable({ 1, 2 }, {
    __index = loop, __newindex = loop, __tostring = loop, __len = loop, __pairs = loop,
    __ipairs = loop, __eq = loop, __metatable = loop, __call = loop, __close = loop, __mode = "kv",
  })
end
