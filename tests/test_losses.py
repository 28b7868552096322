"The losses: exact against double loops in float64, what must hold of each, and one step of the stages that use them."
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lp_nb.learning.autoencoding import Autoencode
from lp_nb.data.cohort import example_cohort
from lp_nb.learning.contrastive import (Contrastive, cosine_loss, infonce, label_similarity, retrieval, same_labels, soft, supcon,
                               vicreg)
from lp_nb.learning.encoders import EncoderConfig, build_towers
from lp_nb.learning.mlm import MLM
from lp_nb.learning.inputs import learning_data
from lp_nb.learning.training import Trainer, fit, train_step

SCALE = torch.tensor(math.log(1 / 0.3), dtype=torch.float64)


def views(b=9, d=5, seed=0):
    "Two views, labels (three columns, some rows alike, some empty) and a symmetric mask with masked pairs."
    g = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(b, d, generator=g, dtype=torch.float64) for _ in range(2))
    labels = torch.randint(0, 2, (b, 3), generator=g).double()
    mask = torch.rand(b, b, generator=g) < 0.25
    mask = mask | mask.T
    assert mask.triu(1).any() and not mask.all()
    return u, v, labels, mask


def cross_entropy(u, v, log_scale, targets, mask):
    "Both directions, pair by pair; differentiable, and without any of the code under test."
    b, total = len(u), 0.0
    out = mask.clone().fill_diagonal_(False)
    for one, other in ((u, v), (v, u)):
        cosine = [[one[i] @ other[j] / one[i].norm() / other[j].norm() for j in range(b)] for i in range(b)]
        for i in range(b):
            there = [j for j in range(b) if not out[i, j]]
            e = [torch.exp(c * log_scale.exp()) for c in cosine[i]]
            below = sum(e[j] for j in there)
            weight = sum(targets[i][j] for j in there)
            for j in there:
                total = total - targets[i][j] / weight * torch.log(e[j] / below) / b / 2
    return total


TARGETS = dict(infonce=lambda labels: torch.eye(len(labels)), supcon=same_labels, soft=label_similarity)
LOSSES = dict(
    infonce=lambda u, v, s, labels, mask: infonce(u, v, s, mask), supcon=supcon,
    soft=lambda u, v, s, labels, mask: soft(u, v, s, label_similarity(labels), mask),
    cosine=lambda u, v, s, labels, mask: cosine_loss(u, v), vicreg=lambda u, v, s, labels, mask: vicreg(u, v))
each_loss = pytest.mark.parametrize('name', LOSSES)


@pytest.mark.parametrize('name', TARGETS)
@pytest.mark.parametrize('masked', [False, True])
def test_loss_and_gradient_equal_a_double_loop(name, masked):
    u, v, labels, mask = views()
    mask = mask if masked else torch.zeros_like(mask)
    grads, losses = [], []
    by_hand = lambda u, v, s, labels, mask: cross_entropy(u, v, s, TARGETS[name](labels).double(), mask)
    for loss in (LOSSES[name], by_hand):
        leaves = [x.clone().requires_grad_() for x in (u, v, SCALE)]
        losses.append(loss(*leaves, labels, mask))
        grads.append(torch.autograd.grad(losses[-1], leaves))
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(*grads):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert ours.abs().max() > 1e-4  # something was compared


def test_vicreg_equals_its_definition():
    u, v, _, _ = views()
    b, d = u.shape
    expected = 25 * sum((u[i, k] - v[i, k]) ** 2 for i in range(b) for k in range(d)) / (b * d)
    for z in (u, v):
        c = [[z[i, k] - z[:, k].mean() for k in range(d)] for i in range(b)]
        cov = [[sum(c[i][j] * c[i][k] for i in range(b)) / (b - 1) for k in range(d)] for j in range(d)]
        expected += 25 * sum(max(0, 1 - math.sqrt(cov[k][k] + 1e-4)) for k in range(d)) / d / 2
        expected += sum(cov[j][k] ** 2 for j in range(d) for k in range(d) if j != k) / d
    torch.testing.assert_close(vicreg(u, v), expected, rtol=1e-12, atol=1e-12)


@each_loss
def test_the_order_of_stays_is_nothing(name):
    u, v, labels, mask = views()
    p = torch.randperm(len(u), generator=torch.Generator().manual_seed(1))
    a, b = LOSSES[name](u, v, SCALE, labels, mask), LOSSES[name](u[p], v[p], SCALE, labels[p], mask[p][:, p])
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@each_loss
def test_the_modalities_may_be_swapped(name):
    u, v, labels, mask = views()
    a, b = LOSSES[name](u, v, SCALE, labels, mask), LOSSES[name](v, u, SCALE, labels, mask)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@each_loss
def test_gradients_are_those_of_the_loss(name):
    u, v, labels, mask = views(b=5, d=3)
    inputs = [x.clone().requires_grad_() for x in (u, v, SCALE)]
    assert torch.autograd.gradcheck(lambda *x: LOSSES[name](*x, labels, mask), inputs)


@pytest.mark.parametrize('name', TARGETS)
def test_masks(name):
    "An empty mask is no mask, the own pair is never masked, and a masked pair has no influence."
    u, v, labels, mask = views()
    none, eye = torch.zeros_like(mask), torch.eye(len(mask), dtype=torch.bool)
    bare = LOSSES[name](u, v, SCALE, labels, None)
    for m in (none, eye):
        assert torch.equal(LOSSES[name](u, v, SCALE, labels, m), bare)
    lonely = LOSSES[name](u, v, SCALE, labels, ~eye)  # nobody else left: nothing to tell apart
    assert abs(float(lonely)) < 1e-12
    pair = none.clone()
    pair[0, 1:] = pair[1:, 0] = True  # nobody's negative: the rest is a batch without stay 0
    rest = LOSSES[name](u[1:], v[1:], SCALE, labels[1:], None)
    with_it = LOSSES[name](u, v, SCALE, labels, pair) * len(u) / (len(u) - 1)
    torch.testing.assert_close(with_it, rest, rtol=1e-12, atol=1e-12)


def test_relatives_are_infonce_where_labels_say_nothing():
    u, v, _, mask = views()
    distinct = torch.arange(len(u))[:, None].double()
    expected = infonce(u, v, SCALE, mask)
    assert torch.equal(supcon(u, v, SCALE, distinct, mask), expected)
    assert torch.equal(soft(u, v, SCALE, torch.eye(len(u)), mask), expected)
    assert not torch.allclose(supcon(u, v, SCALE, torch.zeros(len(u), 1), mask), expected)


def test_collapse_pays_only_without_negatives():
    "All vectors equal is a global minimum of the cosine loss, and as bad as knowing nothing for InfoNCE."
    point = torch.ones(9, 5, dtype=torch.float64)
    u, _, _, _ = views()
    assert float(cosine_loss(point, point)) == pytest.approx(0, abs=1e-12)
    assert float(infonce(point, point, SCALE)) == pytest.approx(math.log(9), abs=1e-12)
    assert infonce(u, u, SCALE) < math.log(9)
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert vicreg(x, x) < 2 < 20 < vicreg(point, point)


def test_half_precision_vectors_are_widened():
    u, v, labels, mask = views()
    for name, loss in LOSSES.items():
        assert loss(u.bfloat16(), v.bfloat16(), SCALE.float(), labels.float(), mask).dtype == torch.float32, name
        with torch.autocast('cpu', torch.bfloat16):
            inside = loss(u.float(), v.float(), SCALE.float(), labels.float(), mask)
        torch.testing.assert_close(inside, loss(u.float(), v.float(), SCALE.float(), labels.float(), mask))


def test_a_batch_of_one_is_finite():
    u, v, labels, mask = views()
    for name, loss in LOSSES.items():
        x = [z[:1].clone().requires_grad_() for z in (u, v)]
        total = loss(*x, SCALE, labels[:1], mask[:1, :1])
        found = torch.autograd.grad(total, x, allow_unused=True)
        assert all(torch.isfinite(g).all() for g in found if g is not None), name


def test_retrieval_by_sorting():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    v[:20] = u[:20] + 0.3 * v[:20]
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (u, v)]
    found = retrieval(u, v)
    for name, s in {'report → series': unit[0] @ unit[1].T, 'series → report': unit[1] @ unit[0].T}.items():
        place = np.array([list(np.argsort(-row)).index(i) + 1 for i, row in enumerate(s)])
        assert found.loc[name].tolist() == [*((place <= k).mean() for k in (1, 5, 10)), np.median(place)]
    assert found.loc['chance'].tolist() == [1 / 50, 5 / 50, 10 / 50, 25.5]


@pytest.fixture(scope='module')
def small():
    "Data of the example hospital, and an encoder without dropout, so that pieces of a batch can be compared."
    config = EncoderConfig(width=32, vocab_size=600, dim=16, series_hidden=16, layers=1, dropout=0.0)
    return learning_data(example_cohort('mortality'), config), config


CUT = [MLM(words='whole', batch=12), Contrastive(batch=12, mlm=0.5, mask='patient'),
       Contrastive(batch=12, loss='supcon', train='projection'), Autoencode(batch=12)]


@pytest.mark.parametrize('stage', CUT, ids=['mlm', 'joint', 'frozen', 'autoencode'])
def test_one_step_does_not_depend_on_the_cut(small, stage, tmp_path):
    "A batch whole or in pieces of five: the same loss and the same weights after a step."
    data, config = small
    after = []
    for micro in (None, 5):
        settings = replace(stage, micro=micro)
        objective = settings.objective(build_towers(config, data.values.shape[1], 0), data, 0)
        trainer = Trainer(objective, settings, seed=0, folder=tmp_path, precision='fp32')
        loss = train_step(trainer, objective.examples[:12])
        grads = {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}
        after.append((loss, grads))
    torch.testing.assert_close(after[0][0], after[1][0], rtol=1e-5, atol=1e-6)
    assert after[0][1].keys() == after[1][1].keys()
    for name, grad in after[0][1].items():
        torch.testing.assert_close(grad, after[1][1][name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize('train', ['projection', 'last', 'lora'])
def test_what_is_frozen_stays(small, train, tmp_path):
    "One short alignment: the weights that may not move do not, and the projection does."
    data, config = small
    stage = Contrastive(batch=32, epochs=1, warmup=0.0, train=train, last=1, rank=2)
    towers = build_towers(config, data.values.shape[1], 0)
    before = {n: p.detach().clone() for n, p in towers.report.named_parameters()}
    fit(Trainer(stage.objective(towers, data, 0), stage, seed=0, folder=tmp_path / 'run'))
    moved = {n for n, p in towers.report.named_parameters() if not torch.equal(p, before[n])}
    assert before.keys() == dict(towers.report.named_parameters()).keys()  # adapters are gone
    assert 'projection.weight' in moved and not any('embeddings' in n for n in moved)
    assert any('layer' in n for n in moved) == (train != 'projection')
