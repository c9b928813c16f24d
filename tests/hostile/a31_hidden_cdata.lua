-- expect (luajit): unsendable .x[2]: cannot send a cdata
-- expect (plain): nothing
function execute_code()
  return { x = { midas.array("int8", 1), 1LL } }
end
