# Where one bank takes longer than packing.job_minutes: a shard's depths in a chain of jobs.
rule train_part:
    input:
        config=stage_file("train"),
        fetched=fetched,
        static="results/{task}/static.parquet",
        before=part_before,
    output:
        part="results/{task}/parts/until_{first}-{end}_{until}.json",
    log:
        "results/logs/train_part/{task}_{first}-{end}_{until}.log",
    benchmark:
        "results/benchmarks/train_part/{task}_{first}-{end}_{until}.tsv"
    wildcard_constraints:
        task=one_of(TRAINED),
    priority: 10
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=train_time,
        gpu=gpus,
        device=CONFIG.device,  # a resource, as a param of another value would re-run the job
        lock=CONFIG.lock.text(),  # likewise
    params:
        source=source_digest("train"),
        fetched=fetched_options,
        first=lambda wildcards: int(wildcards.first),
        end=lambda wildcards: int(wildcards.end),
        until=lambda wildcards: int(wildcards.until),
    message:
        "{wildcards.task}: train runs {wildcards.first} to {wildcards.end} until depth {params.until}"
    shell:
        "prehoc --log {log} train-part --config {input.config} --first {params.first}"
        " --end {params.end} --until {params.until} --out {output.part}"
        " --device {resources.device} --threads {threads} --lock {resources.lock}"
        " {params.fetched}"


rule train:
    input:
        config=stage_file("train"),
        fetched=fetched,
        static="results/{task}/static.parquet",
        before=part_before,
    output:
        runs="results/{task}/shards/runs_{first}-{end}.parquet",
        draws="results/{task}/shards/draws_{first}-{end}.parquet",
        outputs="results/{task}/shards/outputs_{first}-{end}.parquet",
        signals="results/{task}/shards/signals_{first}-{end}.parquet",
        engine="results/{task}/shards/engine_{first}-{end}.json",
    log:
        "results/logs/train/{task}_{first}-{end}.log",
    benchmark:
        "results/benchmarks/train/{task}_{first}-{end}.tsv"
    wildcard_constraints:
        task=one_of(TRAINED),
    priority: 10
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=train_time,
        gpu=gpus,
        device=CONFIG.device,  # a resource, as a param of another value would re-run the job
        lock=CONFIG.lock.text(),  # likewise
    params:
        source=source_digest("train"),
        fetched=fetched_options,
        first=lambda wildcards: int(wildcards.first),
        end=lambda wildcards: int(wildcards.end),
    message:
        "{wildcards.task}: train runs {wildcards.first} to {wildcards.end}"
    shell:
        "prehoc --log {log} train --config {input.config} --first {params.first}"
        " --end {params.end} --runs {output.runs} --draws {output.draws} --outputs {output.outputs}"
        " --signals {output.signals} --engine {output.engine} --device {resources.device}"
        " --threads {threads} --lock {resources.lock} {params.fetched}"


rule simulate:
    input:
        config=stage_file("simulate"),
    output:
        runs="results/{task}/runs.parquet",
        forks="results/{task}/forks.parquet",
        draws="results/{task}/draws.parquet",
        truth="results/{task}/truth.parquet",
        static="results/{task}/static.parquet",
        outputs="results/{task}/outputs.parquet",
    log:
        "results/logs/simulate/{task}.log",
    benchmark:
        "results/benchmarks/simulate/{task}.tsv"
    wildcard_constraints:
        task=one_of(SYNTHETIC),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("simulate"),
    message:
        "{wildcards.task}: simulate a process whose risk is known exactly"
    shell:
        "prehoc --log {log} simulate --config {input.config} --runs {output.runs}"
        " --forks {output.forks} --draws {output.draws} --truth {output.truth}"
        " --static {output.static} --outputs {output.outputs}"
