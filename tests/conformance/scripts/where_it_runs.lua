-- midas.index .count .round .attempt .worker .node .seed tell where a task is.
--! run: --tasks 3 --seed 11
--! out: 0/3 r0 a0 s11; 1/3 r0 a0 s11; 2/3 r0 a0 s11
function generate_data(index, count) assert(midas.index == index and midas.count == count) end
function execute_code()
  assert(midas.worker:sub(1, #midas.node) == midas.node)
  return ("%d/%d r%d a%d s%d"):format(midas.index, midas.count, midas.round, midas.attempt, midas.seed)
end
function interpret_results() return table.concat(results, "; ") end
