# The crossing of config.robustness.  Its cells are tasks like others, run by the same rules; only these
# targets ask for them.
localrules:
    robustness,


rule robustness:
    input:
        "results/tables/robustness.csv",
        "results/tables/robustness_axes.csv",
        [f"results/figures/robustness.{e}" for e in [*CONFIG.figures.format, "csv"]],
        crossing,


rule release:
    input:
        config=ROBUSTNESS_FILE,
        runs="results/{task}/runs.parquet",
    output:
        "results/{task}/released.json",
    log:
        "results/logs/release/{task}.log",
    wildcard_constraints:
        task=one_of(CELLS),
    priority: 20
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    message:
        "{wildcards.task}: delete the checkpoints"
    shell:
        "prehoc --log {log} release --config {input.config} --task {wildcards.task} --out {output}"


rule robustness_table:
    input:
        config=ROBUSTNESS_FILE,
        runs=[f"results/{c}/runs.parquet" for c in CELLS],
        tables=[
            f"results/{c}/{name}.csv"
            for c in CELLS
            for name in ("variance", "envelope", "c_star", "regimes")
        ],
    output:
        cells=report(
            "results/tables/robustness.csv",
            caption="../report/robustness_table.rst",
            category="Robustness",
            labels={"table": "robustness"},
        ),
        axes=report(
            "results/tables/robustness_axes.csv",
            caption="../report/robustness_axes.rst",
            category="Robustness",
            labels={"table": "robustness_axes"},
        ),
    log:
        "results/logs/robustness_table.log",
    benchmark:
        "results/benchmarks/robustness_table.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("robustness"),
        cells=[f"--cell results/{c}" for c in CELLS],
    message:
        "put the crossing's cells in one table"
    shell:
        "prehoc --log {log} robustness --config {input.config} --table {output.cells}"
        " --axes {output.axes} {params.cells}"


rule fig_robustness:
    input:
        config=FIGURES_FILE,
        table="results/tables/robustness.csv",
    output:
        **picture("robustness", "Robustness"),
    log:
        "results/logs/figures/robustness.log",
    benchmark:
        "results/benchmarks/figures/robustness.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw the crossing's cells in the phase diagram"
    shell:
        "prehoc --log {log} figure-robustness --config {input.config}"
        " --table {input.table} --out $(dirname {output.csv})"
