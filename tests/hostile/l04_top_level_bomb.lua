-- expect: memory
hoard = {}
for i = 1, math.huge do hoard[i] = { i } end
function execute_code() end
