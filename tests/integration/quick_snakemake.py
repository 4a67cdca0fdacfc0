"""Snakemake with the SLURM plugin asking for its jobs every second: the plugin's own pause grows by ten
seconds a question.  Nothing else is changed; the jobs themselves start plain Snakemake.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

asked = Executor.check_active_jobs


async def ask(self, active_jobs):
    async for job in asked(self, active_jobs):
        yield job
    self.next_seconds_between_status_checks = 1


Executor.check_active_jobs = ask
if __name__ == "__main__":
    main(sys.argv[1:])
