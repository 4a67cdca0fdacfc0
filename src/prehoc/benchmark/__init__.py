"""The estimators and the theory held against exact truth, over many replicates."""
