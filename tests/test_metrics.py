"Metrics and intervals against scikit-learn and against their own identities, on inputs that hypothesis draws."
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from lp_nb.measures.comparison import ArmDraws, arm_draws, compare, holm, paired_difference
from lp_nb.measures.evaluation import METRICS, auprc, auroc, ranked_areas, ranking, score, sensitivity_at
from lp_nb.measures.intervals import bootstrap, evaluate, patient_weights

SCORES = {
    'random': st.floats(0, 1, width=32), 'tied': st.integers(0, 4).map(lambda k: k / 4), 'constant': st.just(0.3),
    'extreme': st.sampled_from([0.0, 1e-12, 0.5, 1 - 1e-12, 1.0])}


@st.composite
def samples(draw, least=1, most=60):
    "Labels and scores: random, tied, constant or extreme; any mixture of classes, one class included."
    n, kind = draw(st.integers(least, most)), draw(st.sampled_from(sorted(SCORES)))
    labels = draw(st.sampled_from([st.integers(0, 1), st.just(0), st.just(1)]))
    return np.array(draw(st.lists(labels, min_size=n, max_size=n))), np.array(draw(st.lists(SCORES[kind], min_size=n, max_size=n)), float)


def reference(f, y, p):
    "scikit-learn's value; nan where it warns that there is none."
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        value = f(y, p)
    undefined = any('Only one class' in str(w.message) or 'No positive class' in str(w.message) for w in told)
    return np.nan if undefined else value


def same(ours, theirs, eps=1e-12):
    "Equal to `eps`, or both undefined."
    return np.allclose(ours, theirs, rtol=0, atol=eps, equal_nan=True)


@given(samples())
@settings(max_examples=400, deadline=None)
def test_equal_to_scikit_learn(sample):
    "AUROC, average precision, Brier and log loss, to 1e-12."
    y, p = sample
    assert same(auroc(y, p), reference(sk.roc_auc_score, y, p))
    one_class = len(set(y)) < 2  # nothing to tell apart: no score, where scikit-learn gives 1 for events alone
    assert same(auprc(y, p), np.nan if one_class else reference(sk.average_precision_score, y, p))
    assert same(score(y, p, 'Brier'), sk.brier_score_loss(y, p, pos_label=1))
    assert same(score(y, p, 'log loss'), sk.log_loss(y, p, labels=[0, 1]), 1e-10 if (p % 1 == 0).any() else 1e-12)


@given(samples(least=2), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
@settings(max_examples=200, deadline=None)
def test_sensitivity_is_a_point_of_the_curve(sample, specificity):
    "The highest sensitivity of scikit-learn's curve at that specificity or more."
    y, p = sample
    found = sensitivity_at(specificity)(y.astype(float), p, np.ones((len(y), 1)))[0]
    if len(set(y)) < 2:
        assert np.isnan(found)
        return
    far, sensitive, _ = sk.roc_curve(y, p, drop_intermediate=False)
    assert same(found, sensitive[far <= 1 - specificity + 1e-9].max())


@given(samples(least=3), st.integers(0, 2**20))
@settings(max_examples=150, deadline=None)
def test_weights_are_repeated_rows(sample, seed):
    "Every metric with whole-number weights equals itself on the rows repeated."
    y, p = sample
    w = next(patient_weights(np.arange(len(y)), 1, seed))
    rows = np.repeat(np.arange(len(y)), w[:, 0])
    literal = ranked_areas(ranking(y[rows][:, None], p[rows][:, None]), np.ones((len(rows), 1), int))
    assert same(ranked_areas(ranking(y[:, None], p[:, None]), w), literal)
    for m in ('Brier', 'log loss', 'net benefit at 10 % risk', 'sensitivity at 90 % specificity', 'prevalence'):
        one = METRICS[m](y[rows].astype(float), p[rows], np.ones((len(rows), 1)))
        assert same(METRICS[m](y.astype(float), p, w.astype(float)), one, 1e-9), m


@given(samples(least=4), st.integers(0, 2**20))
@settings(max_examples=100, deadline=None)
def test_rows_and_scale_do_not_matter(sample, seed):
    "Ranking metrics see neither the order of the rows nor a rising transformation of the scores; labels turned over mirror the AUROC."
    y, p = sample
    q = np.random.default_rng(seed).permutation(len(y))
    assert same(auroc(y, p), auroc(y[q], p[q])) and same(auprc(y, p), auprc(y[q], p[q]))
    levels = np.unique(p, return_inverse=True)[1] / max(len(p), 1)
    assert same(auroc(y, p), auroc(y, levels)) and same(auprc(y, p), auprc(y, levels))
    assert same(auroc(y, p), 1 - auroc(1 - y, p)) or np.isnan(auroc(y, p))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_sound(p):
    "Adjusted p-values are never smaller than the raw ones nor larger than Bonferroni's, and keep their order."
    adjusted, p = holm(p), np.array(p)
    assert (adjusted >= p).all() and (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind='stable')]) >= 0).all()


def arms(seed, n=240, labels=3):
    "Labels, two arms, and patients with two stays each."
    g = np.random.default_rng(seed)
    y = (g.random((n, labels)) < 0.3).astype(int)
    return y, *(1 / (1 + np.exp(-(y + g.normal(size=y.shape)))) for _ in range(2)), np.arange(n) // 2


def test_a_duplicated_cohort_is_no_news():
    "Each stay written twice under its patient changes neither the values nor the intervals; rows would make them narrower."
    y, p, _, patients = arms(0)
    twice = lambda a: np.concatenate([a, a])
    once, doubled = evaluate(y, p, patients, n=300), evaluate(twice(y), twice(p), twice(patients), n=300)
    np.testing.assert_allclose(once[['value', 'low', 'high']], doubled[['value', 'low', 'high']], atol=1e-12)
    rows = evaluate(twice(y), twice(p), n=300).iloc[-1]
    assert rows.high - rows.low < 0.85 * (once.iloc[-1].high - once.iloc[-1].low)


def test_macro_draws_are_means_of_the_joint_draws():
    "The interval of the macro value comes from the same resamples as those of the labels."
    y, p, _, patients = arms(1)
    drawn = bootstrap(y, p, patients, 'AUROC', n=300)['AUROC'].mean(1)
    row = evaluate(y, p, patients, metrics='AUROC', n=300, method='percentile').iloc[-1]
    np.testing.assert_allclose([row.low, row.high], np.quantile(drawn, [.025, .975]), atol=1e-12)


def test_comparisons_mirror():
    "Second minus first is first minus second turned over, in every column."
    y, a, b, patients = arms(2)
    ab, ba = (paired_difference(y, *pair, patients, n=300) for pair in ((a, b), (b, a)))
    np.testing.assert_allclose(ab['low'], -ba['high'], atol=1e-12)
    np.testing.assert_allclose(ab['p'], ba['p'], atol=1e-12)
    drawn = {k: arm_draws(y, [v], patients, 'AUROC', n=300)['AUROC'] for k, v in dict(a=a, b=b).items()}
    one, two = (compare(drawn, [pair]).iloc[0] for pair in (('a', 'b'), ('b', 'a')))
    assert np.isclose(one['difference'], -two['difference']) and np.isclose(one['p'], two['p']) and np.isclose(one['mdd'], two['mdd'])


def test_seeds_that_agree_leave_only_patients():
    "With seeds that are all the same, patients and seeds together are patients alone."
    y, a, b, patients = arms(3)
    one = {k: arm_draws(y, [v], patients, 'AUROC', n=400)['AUROC'] for k, v in dict(a=a, b=b).items()}
    five = {k: ArmDraws(np.repeat(v.values, 5), np.repeat(v.draws, 5, 0)) for k, v in one.items()}
    single, several = (compare(d, [('a', 'b')]).iloc[0] for d in (one, five))
    assert np.isclose(single['difference'], several['difference']) and np.isclose(single['mdd'], several['mdd'], rtol=1e-6)
    spread = (one['a'].draws - one['b'].draws).std()
    assert np.isclose(several['both_high'] - several['both_low'], 2 * 1.959964 * spread, rtol=1e-6)
