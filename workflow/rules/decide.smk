rule decide:
    input:
        config=stage_file("decide"),
        runs="results/{task}/runs.parquet",
        forks="results/{task}/forks.parquet",
        draws="results/{task}/draws.parquet",
        outputs="results/{task}/outputs.parquet",
        variance="results/{task}/variance.csv",
        envelope="results/{task}/envelope.csv",
        static="results/{task}/static.parquet",
    output:
        c_star="results/{task}/c_star.csv",
        regimes="results/{task}/regimes.csv",
        intrinsic="results/{task}/intrinsic.csv",
        advice="results/{task}/advice.csv",
        verdict=report(
            "results/{task}/verdict.json",
            caption="../report/verdict.rst",
            category="Verdicts",
            labels={"task": "{task}"},
        ),
    log:
        "results/logs/decide/{task}.log",
    benchmark:
        "results/benchmarks/decide/{task}.tsv"
    wildcard_constraints:
        task=one_of([*TASKS, *CELLS]),
    conda:
        "../../envs/analysis.yaml"
    resources:
        runtime=reduce_time,
    params:
        source=source_digest("decide"),
    message:
        "{wildcards.task}: optimal depth, regime, intrinsic limit, advice and verdict"
    shell:
        "prehoc --log {log} decide --config {input.config} --runs {input.runs}"
        " --forks {input.forks} --draws {input.draws} --outputs {input.outputs}"
        " --variance {input.variance}"
        " --envelope {input.envelope} --static {input.static} --c-star {output.c_star}"
        " --regimes {output.regimes} --intrinsic {output.intrinsic} --advice {output.advice}"
        " --verdict {output.verdict}"


for name in TABLES:

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


rule summary:
    input:
        variance="results/tables/variance.csv",
        verdicts=[f"results/{t}/verdict.json" for t in TASKS],
    output:
        "results/summary.md",
    log:
        "results/logs/gather/summary.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("decide"),
    message:
        "put all verdicts on one page"
    shell:
        "prehoc --log {log} summary --variance {input.variance} --out {output}"
        " {input.verdicts}"


rule provenance:
    input:
        config=WHOLE_FILE,
        sources=[f"results/{t}/sources.json" for t in REAL],
        engines=[f"results/{t}/engine.json" for t in REAL],
        tables=[f"results/tables/{name}.csv" for name in tables_made()],
        lock=LOCK,
    output:
        "results/provenance.json",
    log:
        "results/logs/provenance.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        engines=lambda wildcards, input: [f"--engine {path}" for path in input.engines],
    message:
        "note what made the results"
    shell:
        "prehoc --log {log} provenance --config {input.config} --out {output}"
        " {params.engines} {input.sources}"
