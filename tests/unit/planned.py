"""What the tests of `prehoc plan` share: a task's runs, depths and forks, in numbers that are easily reckoned."""

CUT = {
    "runs": 100,
    "shard": 20,
    "bank": 10,
    "depths": [10, 50],
    "horizon": 100,
    "forks": {"depths": [10, 50], "trunks": 10, "per_trunk": 2},
}
