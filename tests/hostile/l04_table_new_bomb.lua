-- expect (luajit): memory
function execute_code()
  return #require("table.new")(2 ^ 26, 0)
end
