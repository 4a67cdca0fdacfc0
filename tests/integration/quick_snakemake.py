"""Snakemake with the SLURM plugin asking for its jobs every second: the plugin's own pause grows by ten
seconds a question.  And it keeps the MinJobAge that the controller said once: where the controller does not
answer in time, the plugin would ask sacct, which has no accounting here, and lose its jobs (docs/cluster.md).
Nothing else is changed; the jobs themselves start plain Snakemake.
"""

import sys

import snakemake_executor_plugin_slurm as plugin
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

asked = Executor.check_active_jobs
told = plugin.get_min_job_age
known = []


def keep():
    """MinJobAge in seconds as the controller says it, or said it last."""
    known[:] = [age for age in (told(),) if age is not None] or known
    return known[0] if known else None


async def ask(self, active_jobs):
    async for job in asked(self, active_jobs):
        yield job
    self.next_seconds_between_status_checks = 1


Executor.check_active_jobs = ask
plugin.get_min_job_age = keep
if __name__ == "__main__":
    main(sys.argv[1:])
