"""Predictors of R: static and trajectory features, and policies."""
