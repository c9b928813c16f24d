return { square = function(x) return x * x end }
