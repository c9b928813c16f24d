-- expect: runtime os.exit is not available in a task
function execute_code()
  os.exit(0)
end
