"""Tests of the bandit itself."""
