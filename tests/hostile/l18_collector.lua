-- expect: ok refused
-- What tunes the collector would reach beyond the task.
function execute_code()
  for _, what in ipairs({ "stop", "generational", "incremental", "setpause", "step", "param" }) do
    if collectgarbage(what, 1, 1, 1) ~= 0 then return what end
  end
  return "refused"
end
