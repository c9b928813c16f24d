"""Floor 3, the coordinator: the impure shell around ``scheduler``."""
