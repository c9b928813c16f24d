-- The most frequent words of the files named after --, read here, counted on the workers.
--
--   midas run examples/word_count.lua -- *.txt
--   midas host examples/word_count.lua -- *.txt      on the participants that join
--
-- A word is a run of ASCII letters, digits and underscores; case does not matter.

local TOP = 20

if #arg == 0 then
  error("name the files to count after --", 0)
end

-- Tasks are cut by size, not by file, so that one large file does not keep one worker busy.
config = { tasks = "8x" }

local text -- of all files, read when the first task is made

local function read_all()
  local parts = {}
  for i, path in ipairs(arg) do
    local file = assert(io.open(path, "rb"))
    parts[i] = file:read("*a")
    file:close()
  end
  return table.concat(parts, "\n")
end

-- The first position from which on a cut does not part a word.
local function cut(position)
  return text:find("[^%w_]", math.max(1, position)) or #text + 1
end

function generate_data(index, count)
  text = text or read_all()
  local first = index == 0 and 1 or cut(math.floor(#text * index / count))
  local last = index == count - 1 and #text or cut(math.floor(#text * (index + 1) / count)) - 1
  return { text = text:sub(first, last) }
end

function execute_code()
  local counts = {}
  for word in global_data.text:gmatch("[%w_]+") do
    word = word:lower()
    counts[word] = (counts[word] or 0) + 1
  end
  return counts
end

function interpret_results()
  local counts, words = {}, {}
  for _, part in ipairs(results) do
    for word, n in pairs(part) do
      if not counts[word] then
        words[#words + 1] = word
      end
      counts[word] = (counts[word] or 0) + n
    end
  end
  table.sort(words, function(a, b)
    return counts[a] > counts[b] or counts[a] == counts[b] and a < b
  end)
  local lines = { #words .. " different words" }
  for i = 1, math.min(TOP, #words) do
    lines[#lines + 1] = string.format("%8d %s", counts[words[i]], words[i])
  end
  return table.concat(lines, "\n")
end
