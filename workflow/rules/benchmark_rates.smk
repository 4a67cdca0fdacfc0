localrules:
    benchmark_rates,


rule benchmark_rates:
    input:
        "results/tables/rates.csv",
        [f"results/figures/rates.{e}" for e in [*CONFIG.figures.format, "csv"]],


rule rates:
    input:
        config=BENCHMARK_FILES["rates"],
    output:
        report(
            "results/tables/rates.csv",
            caption="../report/rates_table.rst",
            category="Tables",
            labels={"table": "rates"},
        ),
    log:
        "results/logs/rates.log",
    benchmark:
        "results/benchmarks/rates.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        source=source_digest("benchmark"),
    message:
        "fit alpha over step-size schedules"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} prehoc --log {log}"
        " benchmark-rates --config {input.config} --out {output}"


rule fig_rates:
    input:
        config=FIGURES_FILE,
        table="results/tables/rates.csv",
    output:
        **picture("rates", "Figures"),
    log:
        "results/logs/figures/rates.log",
    benchmark:
        "results/benchmarks/figures/rates.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw alpha-hat against the theory's"
    shell:
        "prehoc --log {log} benchmark-figure rates --config {input.config}"
        " --table {input.table} --out $(dirname {output.csv})"
