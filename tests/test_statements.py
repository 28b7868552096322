"Properties of the statements that stand beside the paper's: they hold for any numbers, or say why not."

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lp_nb.core import UserError, rng
from lp_nb.plans import towers_at
from lp_nb.statements import (
    aligned_ratio, corollary, cross_modal, factorial, learned_head_bound, mlm_chain, natural_task, predictable_ratio, theorem1,
)
from lp_nb.world import WORLDS
from lp_nb.worlds import Sizes, world_lab

seeds = st.integers(0, 10**6)


def words(g, n=60, v=9):
    "Two distributions of each context (n, v), the second positive, and a label -1/1 that the first tells of."
    p = g.dirichlet(np.full(v, 0.4), n)
    q = 0.9 * g.dirichlet(np.full(v, 0.4), n) + 0.1 / v
    y = np.where(g.random(n) < 1 / (1 + np.exp(-4 * (p[:, 0] - p[:, 1]))), 1, -1)
    y[:2] = 1, -1
    return p, q, y


@given(seeds, st.sampled_from([0.5, 2, 8]), st.floats(0.05, 1))
@settings(max_examples=60, deadline=None)
def test_the_chain_holds_for_any_model(seed, bound, gamma):
    "Every link, for random distributions, functionals and density ratios."
    g = rng(seed, 'chain')
    p, q, y = words(g)
    v = g.uniform(-bound, bound, p.shape[1])
    link = mlm_chain(p, q, y, v, gamma, eps_general=gamma * mlm_chain(p, q, y, v)['eps'])
    assert link['risk'] <= link['l1'] + 1e-12
    assert link['l1'] <= link['pinsker'] + 1e-12
    assert link['pinsker'] <= link['jensen'] + 1e-12
    assert link['jensen'] <= link['gamma_link'] + 1e-9


@given(seeds, st.sampled_from([0.5, 2, 8]))
@settings(max_examples=25, deadline=None)
def test_no_functional_in_the_box_beats_the_natural_one(seed, bound):
    g = rng(seed, 'natural')
    p, _, y = words(g)
    v, tau = natural_task(p, y, bound)
    assert np.abs(v).max() <= bound + 1e-9
    others = g.uniform(-bound, bound, (200, p.shape[1]))
    assert np.logaddexp(0, -y[:, None] * (p @ others.T)).mean(0).min() >= tau - 1e-7
    assert natural_task(p, y, 2 * bound)[1] <= tau + 1e-7  # a larger box cannot be worse


def test_the_price_of_learning_falls_with_labels():
    gaps = [learned_head_bound(0.3, 2, 0.0, 1, 12, n) for n in (100, 400, 1600)]
    assert gaps[0] > gaps[1] > gaps[2] > 0.3
    assert (gaps[0] - 0.3) / (gaps[1] - 0.3) == pytest.approx(2)


@given(*[st.floats(0, 1)] * 5)
@settings(max_examples=200, deadline=None)
def test_corollary_1_is_one_comparison(random, mlm, aligned, full, aligned_random):
    "As printed it holds exactly if the random network is at least as good as the aligned and tuned one."
    c = corollary(random, mlm, aligned, full, aligned_random)
    if abs(random - aligned_random) > 1e-9:
        assert c['holds'] == (random <= aligned_random)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_factorial_adds_up(seed):
    "Main effects and interaction give back the difference between both stages and none."
    g = rng(seed, 'factorial')
    arms = {k: g.random(8) for k in ('init', 'mlm', 'contrastive', 'mlm > contrastive')}
    e = factorial(arms)['mean']
    assert e['MLM'] + e['contrastive'] == pytest.approx((arms['mlm > contrastive'] - arms['init']).mean())


@given(seeds, st.integers(3, 8), st.sampled_from([0.1, 1.0]))
@settings(max_examples=15, deadline=None)
def test_cross_modal_bounds_hold_given_the_class(seed, classes, temperature):
    "Reports and series independent given the class: both bounds, up to the error of 1,500 patients."
    g = rng(seed, 'cross')
    c = g.integers(0, classes, 1500)
    f, h = (g.normal(size=(classes, 5))[c] * g.uniform(0.3, 2) + g.normal(size=(1500, 5)) for _ in range(2))
    found = cross_modal(f, h, c, temperature)
    assert found['slack_c'] > -0.1 * found['l_un'] and found['slack_c_prime'] > -0.1 * found['l_un']
    assert abs(found['unexplained']) < 0.15 * found['l_un']  # nothing but the class is shared


def test_a_class_too_coarse_is_told_by_what_it_leaves_unexplained():
    g = rng(0, 'coarse')
    c, ward = g.integers(0, 4, 2000), g.integers(0, 4, 2000)
    both = g.normal(size=(4, 6))[c] + 3 * g.normal(size=(4, 6))[ward]  # aligned: the two views agree on class and ward
    views = [both + 0.5 * g.normal(size=(2000, 6)) for _ in range(2)]
    coarse, fine = cross_modal(*views, c), cross_modal(*views, 4 * c + ward)
    assert not coarse['holds_c'] and fine['holds_c']
    assert coarse['unexplained'] > 10 * abs(fine['unexplained'])


@given(seeds, st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_shares_decide_whether_the_ratio_falls(seed, k):
    "T2', an identity of each sample."
    g = rng(seed, 'predictable')
    c, n = g.integers(0, 3, 400), 400
    x, z = (g.normal(size=(n, 7)) + g.normal(size=(3, 7))[c] * g.uniform(0, 1) for _ in range(2))
    found = predictable_ratio(x, z, c, k)
    assert found['lower'] == found['predicted_lower'] or abs(found['share_inside'] - found['share_overall']) < 1e-9


def test_linear_alignment_keeps_what_the_class_needs():
    g = rng(1, 'aligned')
    c = g.integers(0, 4, 20_000)
    text, series = (g.normal(size=(4, d))[c] + g.normal(size=(20_000, d)) for d in (10, 6))
    found = aligned_ratio(text, series, c)
    assert found['after'] == pytest.approx(found['predicted'], rel=0.05) and found['after'] < found['before']


def test_theorem_1_on_a_network(tmp_path):
    "Link by link on an encoder that was trained, from its weights in a lab."
    lab = world_lab(tmp_path, WORLDS['B'], 0, Sizes(train=80, val=40, test=200, general=300), probe_stays=40, points=2)
    run = lab.run('mlm(epochs=2, batch=32, keep=last)', seed=0)
    for stage in run.stages:
        rows = theorem1(lab.cohort.config, towers_at(lab, stage.address, 0), lab.cohort.patients, 2)
        assert list(rows['bound']) == [1, 2, 4, 8]
        chain = rows[['risk', 'l1', 'pinsker', 'jensen', 'gamma_link']].to_numpy()
        assert (np.diff(chain, axis=1) > -1e-9).all()
        assert np.allclose(rows['eps'], rows['eps'][0]) and (rows['tau'].diff().dropna() <= 1e-9).all()


def test_wrong_input_is_told():
    p, q, y = words(rng(0, 'wrong'))
    with pytest.raises(UserError, match='zero'):
        mlm_chain(p, np.eye(9)[np.zeros(60, int)], y, np.zeros(9))
    with pytest.raises(UserError):
        natural_task(p, np.zeros(60), 1)
    with pytest.raises(UserError):
        cross_modal(np.ones((5, 2)), np.ones((4, 2)), np.zeros(5))
