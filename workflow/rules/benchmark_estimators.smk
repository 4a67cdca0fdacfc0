BENCHMARK_TABLES = ["estimators", "regret", "targets"]


rule benchmark_estimators:
    input:
        [f"results/tables/{name}.csv" for name in [*BENCHMARK_TABLES, "confusion"]],
        [
            f"results/figures/estimators.{ending}"
            for ending in [*CONFIG.figures.format, "csv"]
        ],


rule benchmark_trials:
    input:
        config=BENCHMARK_FILES["estimators"],
    output:
        trials="results/benchmark/trials/{instance}.parquet",
        confusion="results/benchmark/confusion/{instance}.csv",
    log:
        "results/logs/benchmark_trials/{instance}.log",
    benchmark:
        "results/benchmarks/benchmark_trials/{instance}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        source=source_digest("benchmark"),
    message:
        "{wildcards.instance}: try the estimators against exact truth"
    shell:
        "prehoc --log {log} benchmark-trials --config {input.config}"
        " --instance {wildcards.instance} --trials {output.trials}"
        " --confusion {output.confusion}"


rule gather_confusion:
    input:
        [f"results/benchmark/confusion/{i}.csv" for i in EXACT],
    output:
        report(
            "results/tables/confusion.csv",
            caption="../report/confusion_table.rst",
            category="Benchmarks",
            labels={"table": "confusion"},
        ),
    log:
        "results/logs/gather/confusion.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("collect"),
    message:
        "join the instances' confusion tables"
    shell:
        "prehoc --log {log} gather --table confusion --out {output} {input}"


rule reduce_trials:
    input:
        config=BENCHMARK_FILES["estimators"],
        confusion="results/tables/confusion.csv",
        trials=[f"results/benchmark/trials/{i}.parquet" for i in EXACT],
    output:
        **{
            name: report(
                f"results/tables/{name}.csv",
                caption=f"../report/{name}_table.rst",
                category="Benchmarks",
                labels={"table": name},
            )
            for name in BENCHMARK_TABLES
        },
    log:
        "results/logs/reduce_trials.log",
    benchmark:
        "results/benchmarks/reduce_trials.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("benchmark"),
    message:
        "reduce the trials to tables"
    shell:
        "prehoc --log {log} benchmark-estimators --config {input.config}"
        " --confusion {input.confusion} --out results/tables {input.trials}"


rule fig_estimators:
    input:
        config=FIGURES_FILE,
        estimators="results/tables/estimators.csv",
        regret="results/tables/regret.csv",
        confusion="results/tables/confusion.csv",
    output:
        **picture("estimators", "Benchmarks"),
    log:
        "results/logs/figures/estimators.log",
    benchmark:
        "results/benchmarks/figures/estimators.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw the estimators against exact truth"
    shell:
        "prehoc --log {log} figure-estimators --config {input.config}"
        " --estimators {input.estimators} --regret {input.regret}"
        " --confusion {input.confusion} --out $(dirname {output.csv})"
