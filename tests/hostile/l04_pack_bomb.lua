-- expect (plain): memory
function execute_code()
  pcall(string.pack, ("!16 d"):rep(10), 1)
  pcall(string.pack, "s8", 1)
  pcall(string.packsize, ("i16"):rep(10 ^ 5))
  pcall(string.packsize, "c2147483647" .. ("c2147483647"):rep(10))
  pcall(string.unpack, "s8", "\255\255\255\255\255\255\255\127")
  pcall(string.unpack, "c2147483647", "x", 2 ^ 31)
  pcall(string.unpack, "z", "x", -5)
  return #string.pack("c2147483647", "x")
end
