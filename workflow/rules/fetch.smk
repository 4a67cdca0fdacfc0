rule fetch:
    input:
        expand("results/fetched/{key}.json", key=list(all_wanted(CONFIG))),
    localrule: True


# Where snakemake runs: the machine with a network.  All other jobs read the store.
rule fetch_one:
    input:
        item=lambda wildcards: HUB_FILES[wildcards.key],
    output:
        # kept for the job to read: the commit that it names stays until it is deleted
        update("results/fetched/{key}.json"),
    log:
        "results/logs/fetch/{key}.log",
    benchmark:
        "results/benchmarks/fetch/{key}.tsv"
    wildcard_constraints:
        key=one_of(list(HUB)),
    localrule: True
    conda:
        "../../envs/train.yaml"
    resources:
        lock=CONFIG.lock.text(),
    params:
        source=source_digest("fetch"),
        what=lambda wildcards: str(HUB[wildcards.key]),
    message:
        "fetch {params.what} from the Hub"
    shell:
        "prehoc --log {log} fetch --item {input.item} --out {output} --lock {resources.lock}"
