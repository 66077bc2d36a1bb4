"""The steps that join lake, Feast, learner and registry, and the `marquee` command: where things are put together."""
