"The statements: on random numbers they hold to the last digit, and on a small trained world link by link."
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lp_nb.core import UserError
from lp_nb.learning.encoders import attend, build_towers
from lp_nb.learning.unit import towers_at
from lp_nb.theory.statements import (aligned_ratio, corollary, cross_modal, domain_weights, excess, factorial, kl_rows, learned_head_bound,
                              loss2, mlm_chain, word_probabilities, natural_task, pointwise_information, population_infonce,
                              predictable_ratio, prompts, scaled, tabular_infonce, theorem1, whiten)
from lp_nb.learning.inputs import learning_data
from lp_nb.theory.world import (SLOTS, WORLDS, Sizes, WorldCohort, WorldConfig, exact_words, gamma_bound, sample_patients, world_encoder,
                                world_lab)

seeds, number = st.integers(0, 10**6), st.floats(-5, 5)
few = settings(max_examples=40, deadline=None)
LINKS = ('risk', 'l1', 'pinsker', 'jensen', 'gamma_link')


def task(seed):
    "Random truth, model, labels and functional; sparse and dense distributions."
    r = np.random.default_rng(seed)
    n, words = r.integers(2, 60), r.integers(2, 20)
    p, q = r.dirichlet(np.full(words, r.choice([0.05, 1])), n), r.dirichlet(np.full(words, r.choice([0.3, 3])), n) + 1e-12
    return p, q / q.sum(1, keepdims=True), r.choice([-1, 1], n), r.normal(0, r.choice([0.1, 3]), words)


@few
@given(seeds)
def test_the_chain_holds_for_any_numbers(seed):
    p, q, y, v = task(seed)
    chain = mlm_chain(p, q, y, v)
    full = mlm_chain(p, q, y, v, 0.3, chain['eps'] * 0.3 * 1.01)
    bounds = [full[k] for k in LINKS]
    assert all(low <= high + 1e-9 for low, high in zip(bounds, bounds[1:]))
    assert 'gamma_link' not in chain and chain['bound'] == np.abs(v).max()


@few
@given(seeds)
def test_no_feasible_functional_is_better(seed):
    p, _, y, _ = task(seed)
    r = np.random.default_rng(seed)
    bound = r.choice([0.5, 2, 8])
    best, tau = natural_task(p, y, bound)
    loss = lambda v: np.logaddexp(0, -y * (p @ v)).mean()
    assert np.abs(best).max() <= bound and abs(loss(best) - tau) < 1e-12
    for v in r.uniform(-bound, bound, (20, p.shape[1])):
        assert tau <= loss(v) + 1e-7
    slope = -(y / (1 + np.exp(y * (p @ best)))) @ p / len(y)
    assert slope @ best + bound * np.abs(slope).sum() < 1e-4  # the gap that convexity certifies


def test_divergence_and_bad_input():
    p, q, y, v = task(3)
    by_hand = [sum(a * np.log(a / b) for a, b in zip(*rows) if a > 0) for rows in zip(p, q)]
    assert np.allclose(kl_rows(p, q), by_hand)
    for call in (lambda: mlm_chain(p, np.eye(p.shape[1])[np.zeros(len(p), int)], y, v), lambda: mlm_chain(p[:1], q, y, v),
                 lambda: mlm_chain(p, q, y * 2, v), lambda: mlm_chain(p, q, y, v, gamma=1.5)):
        with pytest.raises(UserError):
            call()
    assert learned_head_bound(.3, 2, .01, .5, 12, 10**12) == pytest.approx(.3 + 2 * np.sqrt(.04), abs=1e-4)


@few
@given(number, number, number, number, number)
def test_corollary_is_an_identity(a, b, c, d, e):
    found = corollary(a, b, c, d, e)
    assert abs((found['right'] - found['left']) - (e - a)) < 1e-9
    if abs(e - a) > 1e-9:
        assert found['holds'] == found['same_as'] == (a <= e)


def test_factorial_by_hand():
    arms = {'init': [1.0, 2], 'mlm': [2.0, 4], 'contrastive': [4.0, 4], 'mlm > contrastive': [8.0, 7]}
    assert factorial(arms)['mean'].tolist() == [2.5, 3.5, 2.0]


def finite(seed):
    "A random finite world: rho, P(x | c), P(y | c), vectors."
    r = np.random.default_rng(seed)
    k, x, y = r.integers(2, 6), r.integers(2, 7), r.integers(2, 7)
    f, g = (scaled(r.normal(size=(m, 3)), r.choice([0.1, 1])) for m in (x, y))
    return r.dirichlet(np.full(k, 3)), r.dirichlet(np.full(x, 0.5), k), r.dirichlet(np.full(y, 0.5), k), f, g


def sums(rho, px, py, f, g):
    "tau, L_un, L_sup and the last term of C' by plain loops."
    mu, un, sup, tau, term = py @ g, 0.0, 0.0, 0.0, 0.0
    for a, wa in enumerate(rho):
        cov = (g - mu[a]).T @ ((g - mu[a]) * py[a][:, None])
        term += wa**2 * np.sqrt(np.linalg.norm(cov, 2)) * (px[a] @ np.linalg.norm(f, axis=1))
        for b, wb in enumerate(rho):
            tau += wa * wb * (a == b)
            for i in range(len(f)):
                un += wa * wb * px[a, i] * sum(py[a, j] * py[b, k] * loss2(f[i] @ (g[j] - g[k])) for j in range(len(g)) for k in range(len(g)))
                sup += wa * wb * (a != b) * px[a, i] * loss2(f[i] @ (mu[a] - mu[b]))
    return dict(tau=tau, l_un=un, l_sup=sup / (1 - tau), bound_c=(un - tau) / (1 - tau), s_2019=term / tau)


@few
@given(seeds)
def test_cross_modal_bounds_are_true(seed):
    e = sums(*finite(seed))
    assert e['l_sup'] <= e['bound_c'] + 1e-9


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_cross_modal_on_patients(seed):
    rho, px, py, _, _ = world = finite(seed)
    f, g = (scaled(v, 1) for v in world[3:])
    r = np.random.default_rng(seed)
    c = r.choice(len(rho), 3000, p=rho)
    pick = lambda table: (r.random((3000, 1)) > table.cumsum(1)[c][:, :-1]).sum(1)
    found, exact = cross_modal(f[pick(px)], g[pick(py)], c, temperature=1), sums(rho, px, py, f, g)
    for key in ('tau', 'l_un', 'l_sup', 'bound_c'):
        assert abs(found[key] - exact[key]) < 0.1, key
    assert found['slack_c'] > -0.05 and found['slack_c_prime'] > -0.05 and abs(found['unexplained']) < 0.05
    assert found['bound_c'] <= found['bound_c_prime'] + 0.05


def test_cross_modal_by_loops():
    "The estimates are means over ordered pairs of different patients, and nobody is scored with a mean that holds them."
    r = np.random.default_rng(0)
    c = np.array([0] * 5 + [1] * 4 + [2] * 3 + [9])  # the last is alone in its class and left out
    f, g = r.normal(size=(13, 4)), r.normal(size=(13, 4))
    found = cross_modal(f, g, c, temperature=0.5)
    a, b, c = scaled(f, 0.5)[:12], scaled(g, 0.5)[:12], c[:12]
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    losses = np.array([loss2(a[i] @ (b[i] - b[j])) for i, j in pairs])
    alike = np.array([c[i] == c[j] for i, j in pairs])
    mean = lambda k, but: b[[i for i in range(12) if c[i] == k and i != but]].mean(0)
    sup = np.mean([loss2(a[i] @ (mean(c[i], i) - mean(c[j], -1))) for (i, j), same in zip(pairs, alike) if not same])
    expected = dict(tau=alike.mean(), l_un=losses.mean(), l_neq=losses[~alike].mean(), l_eq=losses[alike].mean(), l_sup=sup,
                    classes=3, patients=12)
    assert {k: found[k] for k in expected} == pytest.approx(expected)


def test_cross_modal_fails_where_the_class_is_too_coarse():
    r = np.random.default_rng(0)
    c, w = r.integers(0, 5, 2000), r.integers(0, 4, 2000)
    by_c, by_w = r.normal(size=(5, 12)), 2 * r.normal(size=(4, 12))
    f, g = (by_c[c] + by_w[w] + r.normal(size=(2000, 12)) for _ in range(2))
    assert not cross_modal(f, g, c)['holds_c'] and cross_modal(f, g, 4 * c + w)['holds_c']


@few
@given(seeds)
def test_infonce_forgets_its_start(seed):
    r = np.random.default_rng(seed)
    joint = r.dirichlet(np.full(12, 5.0)).reshape(4, 3) * 0.7 + 0.3 / 12
    goal, ends = pointwise_information(joint), []
    for _ in range(2):
        path = tabular_infonce(joint, r.normal(0, 2, (4, 3)), 2500)
        ends.append(path[-1] - path[-1].mean())
        losses = [population_infonce(joint, f) for f in path[::100]]
        assert (np.diff(losses) < 1e-10).all() and losses[-1] >= -(joint * goal).sum() - 1e-9
    assert np.abs(ends[0] - ends[1]).max() < 1e-3 and np.abs(ends[0] - (goal - goal.mean())).max() < 1e-3


@few
@given(seeds)
def test_shares_predict_the_ratio(seed):
    r = np.random.default_rng(seed)
    c = r.integers(0, 3, 300)
    x = r.normal(size=(300, 6)) + r.normal(size=(3, 6))[c]
    x = np.hstack([x, x[:, :1]])  # a column twice: six directions
    z = x[:, :4] + r.normal(size=(300, 4))
    found = predictable_ratio(x, z, c, int(r.integers(1, 5)))
    assert found['lower'] == found['predicted_lower'] and whiten(x).shape == (300, 6)
    assert np.allclose(whiten(x).T @ whiten(x) / 300, np.eye(6))


def test_aligned_ratio_meets_its_prediction():
    r = np.random.default_rng(0)
    c = r.integers(0, 3, 20_000)
    x, z = (r.normal(size=(20_000, d)) + 1.5 * r.normal(size=(3, d))[c] for d in (9, 6))
    found = aligned_ratio(x, z, c)
    assert found['after'] == pytest.approx(found['predicted'], rel=0.05) and found['after'] < found['before']
    with pytest.raises(UserError):
        aligned_ratio(x, z, c * 0)


def test_prompts_ask_one_sentence():
    d = sample_patients(WORLDS['B'], 20, 0, series=False)
    x, hidden, at = prompts(WORLDS['B'], d.x, 2, sentence=3)
    changed = np.flatnonzero((x != d.x).any(0))
    assert set(changed) <= {12} and np.unique(x[:, 12]).size == 1
    assert hidden.sum(1).tolist() == [SLOTS - 1] * 20 and (at == 13).all() and hidden[:, 13:16].all()
    with pytest.raises(UserError):
        prompts(WORLDS['B'], d.x, 0, sentence=8)


def test_domain_weights_average_to_one_and_respect_gamma():
    d = sample_patients(WORLDS['B'], 4000, 0, series=False)
    w = domain_weights(WORLDS['B'], *prompts(WORLDS['B'], d.x, 0))
    assert abs(w.mean() - 1) < 4 * w.std() / 4000**.5 and w.min() >= gamma_bound(WORLDS['B']) - 1e-12
    one = domain_weights(WORLDS['one domain'], *prompts(WORLDS['one domain'], d.x, 0))
    assert np.allclose(one, 1)


@pytest.fixture(scope='module')
def learned(tmp_path_factory):
    "A small lab, and its towers before and after two epochs of language modelling."
    lab = world_lab(tmp_path_factory.mktemp('lab'), WORLDS['B'], 0, Sizes(train=100, val=50, test=50, general=1500), 50, 2)
    run = lab.run('mlm(epochs=2, batch=32, lr=2e-3, keep=last)', seed=0)
    return lab, {s.name: towers_at(lab, s.address, 0) for s in run.stages}


def test_theorem_1_link_by_link(learned):
    _, towers = learned
    people = sample_patients(WORLDS['B'], 400, 1, series=False)
    frames = {k: theorem1(WORLDS['B'], t, people, 0) for k, t in towers.items()}
    for frame in frames.values():
        assert frame.bound.tolist() == [1, 2, 4, 8]
        for low, high in zip(LINKS, LINKS[1:]):
            assert (frame[low] <= frame[high] + 1e-9).all()
        assert np.allclose(frame.constant_needed, frame.risk / (frame.tau * frame.eps))
        assert (frame.non_vacuous == (frame.l1 < frame.prior)).all()
    assert frames['mlm'].eps[0] < frames['init'].eps[0]
    assert excess(WORLDS['B'], towers['mlm'], people.x, 'general') < excess(WORLDS['B'], towers['init'], people.x, 'general')
    alike = replace(people, y=people.y * 0)
    with pytest.raises(UserError):
        theorem1(WORLDS['B'], towers['mlm'], alike, 0)
    own = theorem1(WORLDS['B'], towers['mlm'], people, 0, (2,), domain='target')
    assert own.gamma[0] == 1 and own.gamma_link[0] == pytest.approx(own.jensen[0])


def test_one_domain_makes_the_last_link_an_equality():
    config = WORLDS['one domain']
    cohort = WorldCohort(config, 0, Sizes(train=20, val=10, test=10, general=10))
    towers = build_towers(world_encoder(config), learning_data(cohort, world_encoder(config)).values.shape[1], 0)
    frame = theorem1(config, towers, sample_patients(config, 200, 1, series=False), 1, (1, 4))
    assert np.allclose(frame.gamma_link, frame.jensen, atol=1e-9) and (frame.jensen <= frame.gamma_link + 1e-9).all()


def test_model_words_reads_as_training_does(learned):
    "One report at a time, and through the encoder's own padded reading: the same distribution; the encoder's mode is kept."
    _, towers = learned
    people = sample_patients(WORLDS['B'], 7, 1, series=False)
    ask = prompts(WORLDS['B'], people.x, 3)
    towers['mlm'].report.train()
    q = word_probabilities(towers['mlm'], *ask)
    assert towers['mlm'].report.training and np.allclose(q.sum(1), 1) and (q > 0).all()
    assert np.allclose(q, word_probabilities(towers['mlm'], *ask, size=1), atol=1e-5)
    ids = np.pad(np.where(ask[1], 4, ask[0]), ((0, 0), (1, 1)), constant_values=((0, 0), (2, 3)))
    towers['mlm'].report.eval()
    attend(towers['mlm'].report.lm, 'sdpa')
    with torch.no_grad():
        logits = towers['mlm'].report.lm(input_ids=torch.from_numpy(ids)).logits[:, ask[2][0] + 1]
    assert np.allclose(q, logits.double().softmax(1).numpy(), atol=1e-4)
    with pytest.raises(UserError):
        word_probabilities(towers['mlm'], ask[0], ask[1] & False, ask[2])


def test_the_truth_as_a_model_costs_tau():
    config = WorldConfig(findings=2, sentences=3)
    people = sample_patients(config, 300, 0, series=False)
    x, hidden, at = prompts(config, people.x, 1)
    p, y = exact_words(config, x, hidden, at, 'general'), 2 * people.y[:, 1] - 1
    v, tau = natural_task(p, y, 4)
    link = mlm_chain(p, p, y, v)
    assert [link[k] for k in ('risk', 'l1', 'pinsker', 'jensen')] == pytest.approx([tau] * 4)
