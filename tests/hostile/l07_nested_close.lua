-- expect (plain): ok stopped
function execute_code()
  local source = [[
    local nest
    function nest()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = nest })
        coroutine.yield()
      end)
      coroutine.resume(co)
      local ok, message = coroutine.close(co)
      if not ok then error(message, 0) end
    end
    return nest
  ]]
  local ok, message = pcall(load(source)())
  return not ok and (message:find("overflow") or message:find("too many")) and "stopped" or "ran"
end
