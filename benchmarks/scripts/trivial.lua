-- As little as a job can be.

function generate_data()
  return {}
end

function execute_code()
  return { 1 }
end

function interpret_results()
  return results.n
end
