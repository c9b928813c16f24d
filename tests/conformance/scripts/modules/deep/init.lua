local inner = require "modules.deep.inner"
return { name = function() return "deep of " .. inner end }
