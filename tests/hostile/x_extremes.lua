-- expect: ok ended
-- Functions of the library with numbers, widths and ranges at which C code went wrong before.
local FORMATS = { "%99.99f", "%5.99e", "%099d", "%.99g", "%-99s", "%+ 0#99.99x", "%99.99a", "%q",
  "%c%c", "%5c", "%.3q", "%", "%%%", "%10.123f", "%1000d", "%99999999d", "%i", "%u", "%p", "%s%s" }
local PATTERNS = { "%", "[", "[^", "%b", "%bx", "(", "()", ("("):rep(40), "%f", "%f[", "%1", "(%1)",
  "(()", "[a-", "[]]", "[^]]", "%9", ("%b()"):rep(1e4), ("(a?)"):rep(40) }
local PACKED = { "!16 i16", "i17", "s16", "z", "c999999999", "!128", "Xi16", "<i1>i1=", "i0", "j",
  "Xop", ("c1"):rep(1e4), "c2147483647" }
local DATES = { "%c", "%E", "%Ez", "%", "*t", "!*t", "!%c", "%1000Y", "%_d", "%#x", "%O", "%+" }
local NUMBERS = { 0, -1, 2 ^ 31, -2 ^ 31, 2 ^ 53, -2 ^ 53, 1e300, -1e300, 1 / 0, -1 / 0, 0 / 0, 0.5 }

function execute_code()
  for _, format in ipairs(FORMATS) do
    pcall(string.format, format, 1.5e308, 2)
    pcall(string.format, format, "x", "y")
  end
  for _, pattern in ipairs(PATTERNS) do
    pcall(string.gsub, "aaa", pattern, "%9")
    pcall(string.find, ("("):rep(1e4), pattern)
  end
  for _, packed in ipairs(string.pack and PACKED or {}) do
    pcall(string.pack, packed, 1, "x", 3)
    pcall(string.packsize, packed)
    pcall(string.unpack, packed, "xxxxxxxx", 2 ^ 53)
  end
  for _, x in ipairs(NUMBERS) do
    for _, date in ipairs(DATES) do pcall(os.date, date, x) end
    pcall(os.time, { year = x, month = x, day = x, hour = x })
    pcall(string.rep, "x", -x)
    pcall(string.byte, "x", x, x)
    pcall(string.sub, "x", x, -x)
    pcall(select, x, 1)
    pcall(table.unpack, {}, x, x + 100)
    pcall(table.concat, {}, "", x, x + 100)
    pcall(math.random, x, -x)
    pcall(math.random, x)
    pcall(math.randomseed, x, x)
    pcall(tonumber, "zz", x)
    pcall(error, "x", x)
    pcall(debug.traceback, "x", x)
    pcall(midas.array, "float64", x)
    pcall(midas.progress, x)
    pcall(collectgarbage, "step", x)
    for _, f in pairs(utf8) do
      if type(f) == "function" then pcall(f, "\255", x, x) pcall(f, x) end
    end
    for _, f in pairs(bit32) do pcall(f, x, x, x) end
    for _, f in pairs(rawget(_G, "bit") or {}) do pcall(f, x, x, x) end
    pcall(rawset, {}, x, 1)
  end
  return "ended"
end
