# What forecasts R: by run and information (each task), and across tasks (claims E4, E5, leave one task out).
# Where a task records signals, `predictors` takes them as --signals, and `transfer` finds them in the task's
# folder: signals.parquet then belongs among the inputs of both.
rule predictors:
    input:
        config=lambda wildcards: PREDICTORS[wildcards.task],
        runs="results/{task}/runs.parquet",
        draws="results/{task}/draws.parquet",
        forks="results/{task}/forks.parquet",
        signals=signals_of,
    output:
        table="results/{task}/predictors.csv",
        held_out="results/{task}/held_out.parquet",
        own_depth="results/{task}/own_depth.csv",
    log:
        "results/logs/predictors/{task}.log",
    benchmark:
        "results/benchmarks/predictors/{task}.tsv"
    wildcard_constraints:
        task=one_of(TASKS),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("predictors"),
        signals=lambda wildcards, input: [f"--signals {p}" for p in input.signals],
    message:
        "{wildcards.task}: forecast R from what each run shows"
    shell:
        "prehoc --log {log} predictors --config {input.config} --runs {input.runs}"
        " --draws {input.draws} --forks {input.forks} {params.signals} --table {output.table}"
        " --held-out {output.held_out} --own-depth {output.own_depth}"


rule complementarity:
    input:
        config=COMPLEMENTARITY_FILE,
        held_out=[f"results/{t}/held_out.parquet" for t in TASKS],
        regimes="results/tables/regimes.csv",
    output:
        report(
            "results/tables/complementarity.csv",
            caption="../report/complementarity_table.rst",
            category="Tables",
            labels={"table": "complementarity"},
        ),
    log:
        "results/logs/complementarity.log",
    benchmark:
        "results/benchmarks/complementarity.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("predictors"),
        held_out=lambda wildcards, input: [f"--held-out {p}" for p in input.held_out],
    message:
        "what static and trajectory information leave of Var R"
    shell:
        "prehoc --log {log} complementarity --config {input.config} {params.held_out}"
        " --regimes {input.regimes} --out {output}"


rule mismatch:
    input:
        config=COMPLEMENTARITY_FILE,
        held_out=[f"results/{t}/held_out.parquet" for t in TASKS],
        own_depth=[f"results/{t}/own_depth.csv" for t in TASKS],
        regimes="results/tables/regimes.csv",
    output:
        report(
            "results/tables/mismatch.csv",
            caption="../report/mismatch_table.rst",
            category="Tables",
            labels={"table": "mismatch"},
        ),
    log:
        "results/logs/mismatch.log",
    benchmark:
        "results/benchmarks/mismatch.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("predictors"),
        held_out=lambda wildcards, input: [f"--held-out {p}" for p in input.held_out],
        own_depth=lambda wildcards, input: [f"--own-depth {p}" for p in input.own_depth],
    message:
        "the same predictor at a shallow depth and at the task's own c*"
    shell:
        "prehoc --log {log} mismatch --config {input.config} {params.held_out}"
        " {params.own_depth} --regimes {input.regimes} --out {output}"


rule transfer:
    input:
        config=TRANSFER_FILE,
        tables=[
            f"results/{t}/{name}.parquet"
            for t in TASKS
            for name in ("runs", "draws", "static")
        ],
        signals=[f"results/{t}/signals.parquet" for t in TASKS if t in TRAINED],
        regimes="results/tables/regimes.csv",
    output:
        report(
            "results/tables/transfer.csv",
            caption="../report/transfer_table.rst",
            category="Tables",
            labels={"table": "transfer"},
        ),
    log:
        "results/logs/transfer.log",
    benchmark:
        "results/benchmarks/transfer.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("predictors"),
        tasks=[f"--task results/{t}" for t in TASKS],
    message:
        "forecast each task's R from the runs of all other tasks"
    shell:
        "prehoc --log {log} transfer --config {input.config} {params.tasks}"
        " --regimes {input.regimes} --out {output}"


rule fig_complementarity:
    input:
        config=FIGURES_FILE,
        table="results/tables/complementarity.csv",
    output:
        **picture("complementarity", "Figures"),
    log:
        "results/logs/figures/complementarity.log",
    benchmark:
        "results/benchmarks/figures/complementarity.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw what static and trajectory information leave, by regime"
    shell:
        "prehoc --log {log} figure-complementarity --config {input.config}"
        " --table {input.table} --out $(dirname {output.csv})"
