-- expect: hang
-- No handler of a signal runs while Lua does, and a script that swallows every error swallows the
-- one that a handler would raise.
local function forever()
  while true do
    pcall(coroutine.wrap(function() while true do coroutine.yield() end end))
  end
end

function execute_code()
  while true do xpcall(forever, forever) end
end
