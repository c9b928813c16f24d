return "chosen at run time"
