"""Floor 2: the finished results of a job on disk; knows no script and no engine."""
