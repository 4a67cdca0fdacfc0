rule fig2_decay:
    input:
        config=FIGURES_FILE,
        variance="results/tables/variance.csv",
        envelope="results/tables/envelope.csv",
        truth=[f"results/{t}/truth.parquet" for t in SYNTHETIC],
    output:
        **picture("fig2_decay", "Figures"),
    log:
        "results/logs/figures/fig2_decay.log",
    benchmark:
        "results/benchmarks/figures/fig2_decay.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
        parts=lambda wildcards, input: [f"--part {p}" for p in input.truth],
    message:
        "draw Fig. 2: decay of the risk over depth"
    shell:
        "prehoc --log {log} figure fig2_decay --config {input.config}"
        " --variance {input.variance} --envelope {input.envelope} {params.parts}"
        " --out $(dirname {output.csv})"


rule fig3_phase:
    input:
        config=FIGURES_FILE,
        variance="results/tables/variance.csv",
        envelope="results/tables/envelope.csv",
        regimes="results/tables/regimes.csv",
    output:
        **picture("fig3_phase", "Figures"),
    log:
        "results/logs/figures/fig3_phase.log",
    benchmark:
        "results/benchmarks/figures/fig3_phase.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw Fig. 3: the phase diagram"
    shell:
        "prehoc --log {log} figure fig3_phase --config {input.config}"
        " --variance {input.variance} --envelope {input.envelope} --regimes {input.regimes}"
        " --out $(dirname {output.csv})"


rule fig_c_star:
    input:
        config=FIGURES_FILE,
        variance="results/tables/variance.csv",
        envelope="results/tables/envelope.csv",
        c_star="results/tables/c_star.csv",
    output:
        **picture("c_star", "Figures"),
    log:
        "results/logs/figures/c_star.log",
    benchmark:
        "results/benchmarks/figures/c_star.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw the optimal depth against the price of probing"
    shell:
        "prehoc --log {log} figure c_star --config {input.config}"
        " --variance {input.variance} --envelope {input.envelope} --c-star {input.c_star}"
        " --out $(dirname {output.csv})"


rule fig_curves:
    input:
        config=FIGURES_FILE,
        runs=[f"results/{t}/runs.parquet" for t in TASKS],
    output:
        **picture("curves", "Figures"),
    log:
        "results/logs/figures/curves.log",
    benchmark:
        "results/benchmarks/figures/curves.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
        parts=lambda wildcards, input: [f"--part {p}" for p in input.runs],
    message:
        "draw the metric over depth"
    shell:
        "prehoc --log {log} figure curves --config {input.config} {params.parts}"
        " --out $(dirname {output.csv})"


rule fig_intrinsic:
    input:
        config=FIGURES_FILE,
        intrinsic="results/tables/intrinsic.csv",
    output:
        **picture("intrinsic", "Figures"),
    log:
        "results/logs/figures/intrinsic.log",
    benchmark:
        "results/benchmarks/figures/intrinsic.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        source=source_digest("figures"),
    message:
        "draw what the intrinsic limit is made of"
    shell:
        "prehoc --log {log} figure intrinsic --config {input.config}"
        " --intrinsic {input.intrinsic} --out $(dirname {output.csv})"
