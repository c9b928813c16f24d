-- expect (luajit): unsendable execute_code() result: .big: cannot send a cdata
function execute_code()
  return { big = 1ULL }
end
