"""Floor 4: a client of any host, and a whole cluster in this process."""
