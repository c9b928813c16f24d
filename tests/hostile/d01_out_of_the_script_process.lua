-- What a script's own function may not touch: arg.secret is a secret of Midas, arg.token and arg.key
-- are what its user keeps elsewhere, arg.outside is a file beside the working directory, arg.inside
-- one in it.
function generate_data() return {} end
function execute_code() return 1 end

local found = {}

local function try(name, f, ...)
  local ok, result = pcall(f, ...)
  if ok and result then found[#found + 1] = name end
end

function interpret_results()
  local readable = { "/proc/self/environ", "/proc/self/mem", "/proc/self/maps", "/proc/1/environ",
    "/proc/self/fd/1", "/proc/self/fd/3", "/proc/self/task/../fd/4", "/proc/thread-self/environ",
    "/dev/fd/3", "/dev/tty", "/dev/ptmx", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda",
    arg.token, arg.key, arg.inside .. "/../" .. arg.token,
    arg.secret, arg.inside .. "/../" .. arg.secret, "/./" .. arg.secret }
  for i = 0, 9 do readable[#readable + 1] = "/dev/pts/" .. i end
  for _, path in ipairs(readable) do
    try("read " .. path, io.open, path)
    try("lines of " .. path, io.lines, path)
  end
  local writable = { arg.secret, arg.outside, "/etc/midas-test", "/tmp/midas-test", "../midas-test",
    arg.inside .. "/../midas-test", "/dev/shm/midas-test", "/proc/self/mem", "/proc/self/oom_score_adj",
    "/dev/pts/0", "/dev/stdout", "/dev/fd/2" }
  for _, path in ipairs(writable) do
    for _, mode in ipairs({ "w", "a", "r+", "w+", "a+" }) do try(mode .. " " .. path, io.open, path, mode) end
  end
  for _, name in ipairs({ "execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname" }) do
    try("os." .. name, os[name], "HOME")
  end
  try("popen", io.popen, "true")
  try("tmpfile", io.tmpfile)
  try("output", io.output, arg.inside)
  try("loadlib", function() return package.loadlib("libc.so.6", "system") end)
  try("ffi", require, "ffi")
  return table.concat(found, ", ")
end
