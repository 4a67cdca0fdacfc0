# What features tell of R without forking: tasks with forks and with outputs on probe examples.
rule gap:
    input:
        config=stage_file("gap"),
        runs="results/{task}/runs.parquet",
        forks="results/{task}/forks.parquet",
        draws="results/{task}/draws.parquet",
        outputs="results/{task}/outputs.parquet",
        signals=signals_of,
    output:
        gap="results/{task}/gap.csv",
        needed="results/{task}/gap_needed.csv",
    log:
        "results/logs/gap/{task}.log",
    benchmark:
        "results/benchmarks/gap/{task}.tsv"
    wildcard_constraints:
        task=one_of(GAPPED),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("gap"),
        signals=lambda wildcards, input: [f"--signals {p}" for p in input.signals],
    message:
        "{wildcards.task}: what features tell of R without forking"
    shell:
        "prehoc --log {log} gap --config {input.config} --runs {input.runs}"
        " --forks {input.forks} --draws {input.draws} --outputs {input.outputs} {params.signals}"
        " --out {output.gap} --needed {output.needed}"


for name in GAP_TABLES:

    rule:
        name:
            f"gather_{name}"
        input:
            [f"results/{t}/{name}.csv" for t in GAPPED],
        output:
            report(
                f"results/tables/{name}.csv",
                caption=f"../report/{name}_table.rst",
                category="Tables",
                labels={"table": name},
            ),
        log:
            f"results/logs/gather/{name}.log",
        benchmark:
            f"results/benchmarks/gather/{name}.tsv"
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            source=source_digest("collect"),
            table=name,
        message:
            f"join the tasks' {name} tables"
        shell:
            "prehoc --log {log} gather --table {params.table} --out {output} {input}"


rule fig_gap:
    input:
        config=FIGURES_FILE,
        table="results/tables/gap.csv",
    output:
        **picture("gap", "Figures"),
    log:
        "results/logs/figures/gap.log",
    benchmark:
        "results/benchmarks/figures/gap.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw what features leave of Var R, between metric and forks"
    shell:
        "prehoc --log {log} figure-gap --config {input.config}"
        " --table {input.table} --out $(dirname {output.csv})"
