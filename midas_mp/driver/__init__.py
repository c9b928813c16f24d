"""Floor 5: the three-function job, carried out on an engine."""
