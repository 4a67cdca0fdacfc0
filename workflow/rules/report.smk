report: "../report/workflow.rst"


rule report:
    input:
        rules_of("tables"),
        rules_of("figures"),
        "results/provenance.json",
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        config=RAW_FILE,
    message:
        "write the report"
    shell:
        "snakemake all --report {output} --nolock --configfile {params.config} > {log} 2>&1"
