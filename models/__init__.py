"""The bandit itself: records, encoding, policies, draws, learner and bundle. Pure: no Airflow, no Feast, no HTTP."""
