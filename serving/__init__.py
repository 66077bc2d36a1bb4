"""Choose now: the scorer, its online features, its event log and its HTTP application."""
