"""Floor 3, a node: launcher, zygote and confined workers."""
