"""Floor 2½, credentials: by what peers and hosts know each other, and where that is kept."""
