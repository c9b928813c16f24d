-- Takes a while and gives its argument back turned round, so that whoever called can tell whether
-- it is right: nothing of it can be guessed without having the argument.
function turn(item, seconds)
  local stop = os.clock() + seconds
  while os.clock() < stop do end
  return { index = item.index, words = item.words:reverse() }
end
