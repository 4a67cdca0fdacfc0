# Policies of probing against each other, on runs held out of their calibration: docs/policies.md.
rule policies:
    input:
        config=lambda wildcards: POLICIES_FILES[wildcards.task],
        runs="results/{task}/runs.parquet",
        draws="results/{task}/draws.parquet",
        regimes="results/{task}/regimes.csv",
    output:
        policies="results/{task}/policies.csv",
        against="results/{task}/policies_against.csv",
    log:
        "results/logs/policies/{task}.log",
    benchmark:
        "results/benchmarks/policies/{task}.tsv"
    wildcard_constraints:
        task=one_of(TASKS),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("policies"),
    message:
        "{wildcards.task}: what probing by each policy costs and gains"
    shell:
        "prehoc --log {log} policies --config {input.config} --runs {input.runs}"
        " --draws {input.draws} --regimes {input.regimes} --out {output.policies}"
        " --against {output.against}"


for name in POLICY_TABLES:

    rule:
        name:
            f"gather_{name}"
        input:
            [f"results/{t}/{name}.csv" for t in TASKS],
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


rule fig_frontier_tasks:
    input:
        config=FIGURES_FILE,
        table="results/tables/policies.csv",
    output:
        **picture("frontier_tasks", "Figures"),
    log:
        "results/logs/figures/frontier_tasks.log",
    benchmark:
        "results/benchmarks/figures/frontier_tasks.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw risk against compute by policy, a panel a task"
    shell:
        "prehoc --log {log} figure-frontier-tasks --config {input.config} --table {input.table}"
        " --out $(dirname {output.csv})"
