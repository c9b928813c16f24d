-- What comes goes.

function execute_code()
  return global_data
end
