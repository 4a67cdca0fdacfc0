rule risk:
    input:
        config=stage_file("risk"),
        runs="results/{task}/runs.parquet",
        forks="results/{task}/forks.parquet",
        draws="results/{task}/draws.parquet",
        outputs="results/{task}/outputs.parquet",
    output:
        variance="results/{task}/variance.csv",
        envelope="results/{task}/envelope.csv",
    log:
        "results/logs/risk/{task}.log",
    benchmark:
        "results/benchmarks/risk/{task}.tsv"
    wildcard_constraints:
        task=one_of([*TASKS, *CELLS]),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("risk"),
    message:
        "{wildcards.task}: estimate the risk and fit the envelope"
    shell:
        "prehoc --log {log} risk --config {input.config} --runs {input.runs}"
        " --forks {input.forks} --draws {input.draws} --outputs {input.outputs}"
        " --variance {output.variance}"
        " --envelope {output.envelope}"
