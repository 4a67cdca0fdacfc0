rule fork:
    input:
        config=stage_file("fork"),
        fetched=fetched,
        static="results/{task}/static.parquet",
        trunks=trunk_shards,
    output:
        forks="results/{task}/forks/depths_{depths}.parquet",
        engine="results/{task}/forks/engine_{depths}.json",
    log:
        "results/logs/fork/{task}_{depths}.log",
    benchmark:
        "results/benchmarks/fork/{task}_{depths}.tsv"
    wildcard_constraints:
        task=one_of(TRAINED),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=fork_time,
        gpu=gpus,
        device=CONFIG.device,  # a resource, as a param of another value would re-run the job
        lock=CONFIG.lock.text(),  # likewise
    params:
        source=source_digest("fork"),
        fetched=fetched_options,
        depths=lambda wildcards: [f"--depth {d}" for d in wildcards.depths.split("-")],
    message:
        "{wildcards.task}: fork runs at depths {wildcards.depths}"
    shell:
        "prehoc --log {log} fork --config {input.config} {params.depths}"
        " --out {output.forks} --engine {output.engine} --device {resources.device}"
        " --threads {threads} --lock {resources.lock} {params.fetched}"
