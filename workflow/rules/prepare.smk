rule prepare:
    input:
        config=stage_file("prepare"),
        fetched=fetched,
    output:
        static="results/{task}/static.parquet",
        sources="results/{task}/sources.json",
    log:
        "results/logs/prepare/{task}.log",
    benchmark:
        "results/benchmarks/prepare/{task}.tsv"
    wildcard_constraints:
        task=one_of(TRAINED),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=start_time,
        gpu=gpus,
        device=CONFIG.device,  # a resource, as a param of another value would re-run the job
    params:
        source=source_digest("prepare"),
        fetched=fetched_options,
    message:
        "{wildcards.task}: read model and data"
    shell:
        "prehoc --log {log} prepare --config {input.config} --static {output.static}"
        " --sources {output.sources} --device {resources.device} --threads {threads} {params.fetched}"
