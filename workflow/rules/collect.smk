rule collect:
    input:
        runs=shard_files("runs"),
        draws=shard_files("draws"),
        forks=fork_files,
    output:
        runs="results/{task}/runs.parquet",
        draws="results/{task}/draws.parquet",
        forks="results/{task}/forks.parquet",
    log:
        "results/logs/collect/{task}.log",
    benchmark:
        "results/benchmarks/collect/{task}.tsv"
    wildcard_constraints:
        task=one_of(REAL),
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("collect"),
    message:
        "{wildcards.task}: collect runs and forks"
    shell:
        "(prehoc gather --table runs --out {output.runs} {input.runs} &&"
        " prehoc gather --table draws --out {output.draws} {input.draws} &&"
        " prehoc gather --table forks --out {output.forks} {input.forks}) > {log} 2>&1"
