-- expect: unsendable execute_code() result: .a.b[1]: cannot send a table that contains itself
function execute_code()
  local t = {}
  t.a = { b = { t } }
  return t
end
