rule export:
    input:
        config=stage_file("train"),
        fetched=fetched,
        runs=shard_of_seed,
    output:
        directory("results/{task}/adapters/seed_{seed}"),
    log:
        "results/logs/export/{task}_{seed}.log",
    benchmark:
        "results/benchmarks/export/{task}_{seed}.tsv"
    wildcard_constraints:
        task=one_of(ADAPTED),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=start_time,
    params:
        source=source_digest("export"),
        fetched=fetched_options,
        seed=lambda wildcards: int(wildcards.seed),
    message:
        "{wildcards.task}: write run {wildcards.seed} as a peft adapter"
    shell:
        "prehoc --log {log} export --config {input.config} --seed {params.seed}"
        " --out {output} --threads {threads} {params.fetched}"
