-- expect: ok replaced
function execute_code()
  for _, stream in ipairs({ io.stdout, io.stderr, io.write() }) do
    rawset(stream, "cache", "leaked")
    rawset(stream, "write", function() error("poisoned") end)
  end
  return "replaced"
end
