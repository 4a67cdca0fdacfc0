rule fork:
    input:
        config=stage_file("fork"),
        static="results/{task}/static.parquet",
        trunks=trunk_shards,
    output:
        "results/{task}/forks/depth_{depth}.parquet",
    log:
        "results/logs/fork/{task}_{depth}.log",
    benchmark:
        "results/benchmarks/fork/{task}_{depth}.tsv"
    wildcard_constraints:
        task=one_of(REAL),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        source=source_digest("fork"),
    message:
        "{wildcards.task}: fork runs at depth {wildcards.depth}"
    shell:
        "prehoc --log {log} fork --config {input.config} --depth {wildcards.depth}"
        " --out {output} --threads {threads}"
