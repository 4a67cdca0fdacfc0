# The paper's claims E1-E7 against criteria that the config fixed: docs/claims.md.


rule claims:
    input:
        config=CLAIMS_FILE,
        tables=[
            f"results/tables/{t}.csv"
            for t in ("variance", "envelope", "c_star", "regimes")
        ],
        judged=[f for f in rules_of("tables") if Path(f).stem in JUDGED],
        imported=imported_files(),
    output:
        table=report(
            "results/tables/claims.csv",
            caption="../report/claims_table.rst",
            category="Claims",
            labels={"table": "claims"},
        ),
        page="results/claims.md",
    log:
        "results/logs/claims.log",
    benchmark:
        "results/benchmarks/claims.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        source=source_digest("claims"),
    message:
        "hold the paper's claims against the tables"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} prehoc --log {log}"
        " claims --config {input.config} --table {output.table} --out {output.page}"
        " {input.tables} {input.judged}"
