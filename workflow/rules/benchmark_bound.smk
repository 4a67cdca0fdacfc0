localrules:
    benchmark_lower_bound,


rule benchmark_lower_bound:
    input:
        "results/tables/lower_bound.csv",
        "results/tables/lower_bound_verdict.csv",
        [f"results/figures/lower_bound.{e}" for e in [*CONFIG.figures.format, "csv"]],


rule lower_bound:
    input:
        config=BENCHMARK_FILES["lower_bound"],
    output:
        "results/benchmark/bound/{instance}.csv",
    log:
        "results/logs/lower_bound/{instance}.log",
    benchmark:
        "results/benchmarks/lower_bound/{instance}.tsv"
    wildcard_constraints:
        instance=one_of(EXACT),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        source=source_digest("benchmark"),
    message:
        "{wildcards.instance}: predictors against the exact risk"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} prehoc --log {log}"
        " benchmark-bound --config {input.config} --instance {wildcards.instance} --out {output}"


rule gather_lower_bound:
    input:
        [f"results/benchmark/bound/{name}.csv" for name in EXACT],
    output:
        report(
            "results/tables/lower_bound.csv",
            caption="../report/lower_bound_table.rst",
            category="Tables",
            labels={"table": "lower_bound"},
        ),
    log:
        "results/logs/gather/lower_bound.log",
    benchmark:
        "results/benchmarks/gather/lower_bound.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("collect"),
    message:
        "join the instances' lower_bound tables"
    shell:
        "prehoc --log {log} gather --table lower_bound --out {output} {input}"


rule lower_bound_verdict:
    input:
        "results/tables/lower_bound.csv",
    output:
        report(
            "results/tables/lower_bound_verdict.csv",
            caption="../report/lower_bound_verdict.rst",
            category="Tables",
            labels={"table": "lower_bound_verdict"},
        ),
    log:
        "results/logs/lower_bound_verdict.log",
    benchmark:
        "results/benchmarks/lower_bound_verdict.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("benchmark"),
    message:
        "does any predictor lie below the exact risk?"
    shell:
        "prehoc --log {log} benchmark-verdict --table {input} --out {output}"


rule fig_lower_bound:
    input:
        config=FIGURES_FILE,
        table="results/tables/lower_bound.csv",
    output:
        **picture("lower_bound", "Figures"),
    log:
        "results/logs/figures/lower_bound.log",
    benchmark:
        "results/benchmarks/figures/lower_bound.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw the predictors' risks against the exact risk"
    shell:
        "prehoc --log {log} benchmark-figure lower_bound --config {input.config}"
        " --table {input.table} --out $(dirname {output.csv})"
