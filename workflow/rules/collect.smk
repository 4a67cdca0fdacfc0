rule collect:
    input:
        runs=shard_files("runs"),
        draws=shard_files("draws"),
        outputs=shard_files("outputs"),
        signals=shard_files("signals"),
        forks=fork_files("depths"),
        train_engines=shard_files("engine", "json"),
        fork_engines=fork_files("engine", "json"),
    output:
        runs="results/{task}/runs.parquet",
        draws="results/{task}/draws.parquet",
        forks="results/{task}/forks.parquet",
        outputs="results/{task}/outputs.parquet",
        signals="results/{task}/signals.parquet",
        engine="results/{task}/engine.json",
    log:
        "results/logs/collect/{task}.log",
    benchmark:
        "results/benchmarks/collect/{task}.tsv"
    wildcard_constraints:
        task=one_of(TRAINED),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("collect"),
        parts=lambda wildcards, input: [
            f"--{kind}-part {path}"
            for kind in ("runs", "draws", "forks", "outputs", "signals")
            for path in input[kind]
        ]
        + [
            f"--{kind}-engine {path}"
            for kind in ("train", "fork")
            for path in input[f"{kind}_engines"]
        ]
        + [
            f"--{kind}-stage {digest(stage_config(CONFIG, wildcards.task, kind))}"
            for kind in ("train", "fork")
            if input[f"{kind}_engines"]
        ],
    message:
        "{wildcards.task}: collect runs, forks, outputs and signals"
    shell:
        "prehoc --log {log} collect --runs {output.runs} --draws {output.draws}"
        " --forks {output.forks} --outputs {output.outputs} --signals {output.signals}"
        " --engine {output.engine} {params.parts}"
