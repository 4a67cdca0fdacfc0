rule decompose:
    input:
        config=stage_file("decompose"),
        runs="results/{task}/runs.parquet",
    output:
        "results/{task}/sources.csv",
    log:
        "results/logs/decompose/{task}.log",
    benchmark:
        "results/benchmarks/decompose/{task}.tsv"
    wildcard_constraints:
        task=one_of(CROSSED),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("decompose"),
    message:
        "{wildcards.task}: variance by source"
    shell:
        "prehoc --log {log} decompose --config {input.config} --runs {input.runs}"
        " --out {output}"


rule known_sources:
    input:
        config=KNOWN_FILE,
    output:
        "results/known_components/sources.csv",
    log:
        "results/logs/decompose/known_components.log",
    benchmark:
        "results/benchmarks/decompose/known_components.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("decompose"),
    message:
        "variance by source where the components are known"
    shell:
        "prehoc --log {log} known-sources --config {input.config} --out {output}"


rule gather_sources:
    input:
        [f"results/{t}/sources.csv" for t in CROSSED],
        ["results/known_components/sources.csv"] if CONFIG.sources.known else [],
    output:
        report(
            "results/tables/sources.csv",
            caption="../report/sources_table.rst",
            category="Tables",
            labels={"table": "sources"},
        ),
    log:
        "results/logs/gather/sources.log",
    benchmark:
        "results/benchmarks/gather/sources.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("collect"),
    message:
        "join the tasks' sources tables"
    shell:
        "prehoc --log {log} gather --table sources --out {output} {input}"


rule fig_sources:
    input:
        config=FIGURES_FILE,
        sources="results/tables/sources.csv",
    output:
        **picture("sources", "Figures"),
    log:
        "results/logs/figures/sources.log",
    benchmark:
        "results/benchmarks/figures/sources.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw the variance by source"
    shell:
        "prehoc --log {log} figure sources --config {input.config}"
        " --sources {input.sources} --out $(dirname {output.csv})"
