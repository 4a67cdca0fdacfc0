# Policies of probing against each other, on runs held out of their calibration: docs/policies.md.
rule policies:
    input:
        config=lambda wildcards: POLICIES_FILES[wildcards.task],
        runs="results/{task}/runs.parquet",
        draws="results/{task}/draws.parquet",
        regimes="results/{task}/regimes.csv",
    output:
        "results/{task}/policies.csv",
    log:
        "results/logs/policies/{task}.log",
    benchmark:
        "results/benchmarks/policies/{task}.tsv"
    wildcard_constraints:
        task=one_of(TASKS),
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("policies"),
    message:
        "{wildcards.task}: what probing by each policy costs and gains"
    shell:
        "prehoc --log {log} policies --config {input.config} --runs {input.runs}"
        " --draws {input.draws} --regimes {input.regimes} --out {output}"


rule gather_policies:
    input:
        [f"results/{t}/policies.csv" for t in TASKS],
    output:
        report(
            "results/tables/policies.csv",
            caption="../report/policies_table.rst",
            category="Tables",
            labels={"table": "policies"},
        ),
    log:
        "results/logs/gather/policies.log",
    benchmark:
        "results/benchmarks/gather/policies.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("collect"),
    message:
        "join the tasks' policies tables"
    shell:
        "prehoc --log {log} gather --table policies --out {output} {input}"


rule fig_frontier:
    input:
        config=FIGURES_FILE,
        table="results/tables/policies.csv",
    output:
        **picture("frontier", "Figures"),
    log:
        "results/logs/figures/frontier.log",
    benchmark:
        "results/benchmarks/figures/frontier.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw risk and regret against compute, by policy"
    shell:
        "prehoc --log {log} figure-frontier --config {input.config} --table {input.table}"
        " --out $(dirname {output.csv})"
