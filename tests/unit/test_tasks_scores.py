"""LogME and LEEP against independent references: direct maximisation, and the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from prehoc.tasks.scores import evidence, leep, logme


def directly(x, y):
    """The log density of y under N(0, I/b + x x^T/a), an example, maximised over log a and log b."""

    def loss(logs):
        a, b = np.exp(np.clip(logs, -30, 30))
        covariance = np.eye(len(y)) / b + x @ x.T / a
        return -multivariate_normal.logpdf(y, np.zeros(len(y)), covariance, allow_singular=True) / len(y)

    tries = [minimize(loss, [p, q], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
             for p in (0.0, 4.0) for q in (0.0, 3.0)]  # fmt: skip
    return -min(t.fun for t in tries)


@pytest.mark.parametrize(("n", "width"), [(40, 5), (30, 60), (50, 50)])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_evidence_is_that_of_a_direct_maximisation(n, width, noise):
    rng = np.random.default_rng(n + width)
    x = rng.standard_normal((n, width)) * rng.uniform(0.3, 2.0, width)
    y = x @ rng.standard_normal(width) * 0.5 + noise * rng.standard_normal(n)
    assert evidence(x, y) == pytest.approx(directly(x, y), abs=2e-4)


def test_logme_is_the_mean_over_classes_and_higher_where_features_tell_more():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    centres = 2 * rng.standard_normal((3, 8))
    told = centres[labels] + rng.standard_normal((60, 8))
    blind = rng.standard_normal((60, 8))
    due = np.mean([directly(told, (labels == k).astype(float)) for k in range(3)])
    assert logme(told, labels, 3) == pytest.approx(due, abs=2e-4)
    assert logme(told, labels, 3) > logme(blind, labels, 3) + 0.1
    y = rng.standard_normal(60)
    assert logme(told, y, 0) == evidence(told, y)


def test_logme_is_finite_where_features_say_nothing_or_all():
    x = np.random.default_rng(1).standard_normal((20, 4))
    assert np.isfinite(evidence(x, np.zeros(20)))
    assert np.isfinite(evidence(np.zeros((20, 4)), x[:, 0]))
    assert evidence(x, x[:, 0]) > 5  # told exactly: as good as the bounds let it be


def test_leep_is_its_definition_and_its_ends_are_known():
    rng = np.random.default_rng(2)
    labels, source = rng.integers(2, size=50), rng.dirichlet(np.ones(3), 50)
    joint = np.zeros((2, 3))
    for y, theta in zip(labels, source, strict=True):
        joint[y] += theta / 50
    due = np.mean([
        np.log(sum(joint[y, z] / joint[:, z].sum() * theta[z] for z in range(3)))
        for y, theta in zip(labels, source, strict=True)
    ])  # fmt: skip
    assert leep(source, labels, 2) == pytest.approx(due, rel=1e-12)
    assert leep(np.eye(2)[labels], labels, 2) == 0.0  # each class by a source class of its own
    share = labels.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert leep(np.ones((50, 1)), labels, 2) == pytest.approx(-entropy)  # one source class tells nothing


def test_static_features_hold_the_scores_of_the_frozen_model(stage):
    from prehoc.training import problems

    made = {p: problems.build(stage(method__kind="head", method__pooling=p)) for p in ("cls", "mean")}
    for setting in made.values():
        problem = setting.problem
        first, end = problem.encoding.rows("train")
        x = problem.features[first:end].double().numpy()
        assert setting.static["logme"] == pytest.approx(logme(x, problem.labels.numpy(), 2), abs=1e-6)
        assert "leep" not in setting.static  # a model without classes of its own
    whole = problems.build(
        stage(method__layers="all", method__pooling="mean")
    )  # no features are kept there
    assert whole.static["logme"] == pytest.approx(made["mean"].static["logme"], abs=1e-6)
    assert made["cls"].static["logme"] != made["mean"].static["logme"]
    number = problems.build(stage(method__kind="head", data__labels="number"))
    assert np.isfinite(number.static["logme"])


def test_a_model_with_classes_of_its_own_has_a_leep(stage, tiny_encoder, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from prehoc.tasks.suitability import own_classifier
    from prehoc.training import problems

    folder = str(tmp_path / "classifier")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3)
    own.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    assert own_classifier(tiny_encoder, None, "cpu") is None
    config = stage(method__kind="head", model__name=folder)
    setting = problems.build(config)
    assert -np.log(2) - 1e-3 < setting.static["leep"] < 0  # no worse than the labels' shares
    again = problems.build(stage(model__name=folder)).static["leep"]  # of another cut
    assert again == pytest.approx(setting.static["leep"], abs=1e-6)


def test_lengths_and_weights_of_the_other_kinds(family):
    from prehoc.training import problems

    causal = problems.build(family("causal"))
    tokens = causal.problem.lengths("train")
    assert tokens.max() <= causal.problem.length
    # One token a character, and its end: "1+2=3" takes six, "5+6=11" seven.
    texts = causal.problem.ids["train"]
    due = ((texts != 0) & (texts != 2)).sum(1) + 1
    np.testing.assert_array_equal(tokens.numpy(), due.numpy())
    assert causal.static["length_sd"] == pytest.approx(float(due.double().std(correction=0)))
    modular = problems.build(family("modular"))
    assert 0 < modular.static["label_entropy"] <= np.log(11)
    sizes = [p.shape for p in modular.problem.parameters]
    assert modular.static["trained_parameters"] == sum(np.prod(s) for s in sizes)
