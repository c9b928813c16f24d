-- expect (luajit): nothing
-- expect (plain): ok ended
-- Variables that are closed: without end, in themselves, with errors that run code, across yields.
local bodies = {
  [[local x <close> = setmetatable({}, { __close = function(_, e)
    error(setmetatable({}, { __tostring = function() while true do end end })) end })
  error("first")]],
  [[local function f(n)
    local x <close> = setmetatable({}, { __close = function() f(n + 1) end })
  end
  f(1)]],
  [[local c = coroutine.wrap(function()
    local x <close> = setmetatable({}, { __close = function() coroutine.yield(1) end })
  end)
  return c(), c()]],
  [[local function make(n)
    return coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() if n > 0 then make(n - 1) end end })
      coroutine.yield()
    end)
  end
  local c = make(1000)
  coroutine.resume(c)
  return coroutine.close(c)]],
  [[for i in next, { 1 }, nil, setmetatable({}, { __close = function() error({}) end }) do break end]],
}

function execute_code()
  for _, body in ipairs(bodies) do pcall(assert(load(body))) end
  return "ended"
end
