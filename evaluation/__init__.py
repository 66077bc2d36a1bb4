"""Is it better: estimators, intervals, diagnostics, gate and report, on logged batches alone."""
