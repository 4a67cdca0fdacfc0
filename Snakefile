from snakemake.utils import min_version

min_version("9.10")


configfile: "config.yaml"


include: "workflow/rules/common.smk"


onerror:
    say_full_disks()


localrules:
    all,
    tables,
    figures,
    report,
    benchmark_estimators,
    sources,


rule all:
    default_target: True
    input:
        rules_of("tables"),
        rules_of("figures"),
        "results/provenance.json",


rule tables:
    input:
        rules_of("tables"),
        "results/provenance.json",


rule figures:
    input:
        rules_of("figures"),
        "results/provenance.json",


rule sources:
    input:
        rules_of("sources"),
        "results/tables/sources.csv",


include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/fork.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/risk.smk"
include: "workflow/rules/decide.smk"
include: "workflow/rules/predictors.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/gap.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/policies.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/benchmark_estimators.smk"
include: "workflow/rules/benchmark_bound.smk"
include: "workflow/rules/benchmark_rates.smk"
