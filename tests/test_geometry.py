"Measures of geometry against known answers, and their laws on inputs that nobody chose."
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lp_nb.core import UserError, rng
from lp_nb.measures.geometry import (
    Moments, bracket, by_class, label_geometry, class_moments, combine, deviation, geometry_of, leading, manova, moment_table,
    ratios, eta_squared, spectrum, top,
)
from lp_nb.measures.readouts import BatchedCKA, alignment, cka, direction, gaussian_auroc, measure, probe_fit, readout, taught
from lp_nb.study.trajectories import labels_of, measure_all

QUADRATIC = ('s_paper', 's_prior', 's_2019', 's_split_half', 's_plug_in', 's_manova', 'trace', 'norm')
BY_ROW = ('split_half', 'plug_in', 'uniformity', 'd2', 'auroc', 'gaussian_gap')  # draw stays by their row number
few = settings(max_examples=25, deadline=None)


def gaussians(seed: int, counts, means, covs):
    "Gaussian classes with known sizes, means (C, d) and covariances (C, d, d): h (n, d), class (n,)."
    g = rng(seed, 'gaussians')
    h = [g.multivariate_normal(m, s, k) for k, m, s in zip(counts, means, covs, strict=True)]
    return np.vstack(h), np.repeat(np.arange(len(counts)), counts)


def cloud(seed: int, n: int = 160, d: int = 7, labels: int = 2):
    "Some embedding with some labels in it."
    g = rng(seed, 'cloud')
    y = (g.random((n, labels)) < 0.4).astype(int)
    h = g.normal(size=(n, d)) * np.exp(g.normal(size=d)) + y @ g.normal(size=(labels, d)) + g.normal(size=d)
    return h, y


def law(key: str) -> bool:
    "Whether a measure grows with the square of the scale."
    return key.removeprefix('powerset_').removeprefix('class_') in QUADRATIC


def close(a: dict, b: dict, keys=None, tol: float = 1e-7, times=lambda k: 1.0):
    "Both dicts agree in the keys, nan with nan."
    for k in a.keys() if keys is None else keys:
        assert np.isclose(a[k] * times(k), b[k], rtol=tol, atol=tol, equal_nan=True), (k, a[k], b[k])


# Known populations

def test_gaussian_classes_have_their_population_values():
    "Every measure of three Gaussian classes with known means and covariances is the formula's value, within Monte-Carlo error."
    d, counts = 6, np.array([30000, 20000, 10000])
    covs = np.stack([np.diag(np.linspace(a, 1, d)) for a in (5, 3, 8)])
    means = np.zeros((3, d))
    means[1, 0], means[2, 1] = 2, 3
    h, c = gaussians(0, counts, means, covs)
    p = counts / counts.sum()
    W, centre = np.einsum('c,cij->ij', p, covs), p @ means
    B = np.einsum('c,ci,cj->ij', p, means - centre, means - centre)
    norms, traces = np.array([5, 3, 8.0]), np.trace(covs, axis1=1, axis2=2)
    m = class_moments(h, c)
    found = deviation(m) | ratios(m)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = dict(
        s_paper=norms.mean(), s_prior=p @ norms, tr_within=np.trace(W), tr_between=np.trace(B),
        norm_ratio=np.linalg.norm(W, 2) / np.linalg.norm(B, 2), nc1=np.trace(W @ np.linalg.pinv(B, rcond=1e-6, hermitian=True)) / 3,
        cdnv=np.median([(traces[i] + traces[j]) / 2 / ((means[i] - means[j]) ** 2).sum() for i, j in pairs]))
    for k, v in expected.items():
        assert abs(found[k] / v - 1) < 0.04, (k, found[k], v)
    nu = p**2 / (p**2).sum()
    length = np.array([np.linalg.norm(h[c == k], axis=1).mean() for k in range(3)])
    assert np.isclose(found['s_2019'], nu @ (np.sqrt(m.norms) * length))
    assert abs(by_class(h, c)['ratio'] / (np.trace(W) / np.trace(B)) - 1) < 0.03
    labels = np.eye(3, dtype=int)[c][:, 1:]  # two indicator labels say which of three classes: MANOVA finds W
    assert abs(manova(h, labels)['manova_r2'] / (np.trace(B) / (np.trace(W) + np.trace(B))) - 1) < 0.04
    assert abs(manova(h, labels)['s_manova'] / np.linalg.norm(W, 2) - 1) < 0.03


def test_mahalanobis_and_auroc_of_gaussians():
    "d'^2 and the discriminant's AUROC are those of the population (identity G)."
    s = np.diag([4.0, 1, 1, 0.25])
    delta = np.array([1.0, 0.5, 0, 0.4])
    h, c = gaussians(1, (6000, 6000), [np.zeros(4), delta], [s, s])
    truth = delta @ np.linalg.solve(s, delta)
    found = readout(h, c, ridge=1e-6)
    assert abs(found['d2'] / truth - 1) < 0.08
    assert abs(found['lda_auroc'] - gaussian_auroc(truth)) < 0.01
    assert found['mean_auroc'] < found['lda_auroc'] - 0.02  # the mean classifier ignores W


def test_debiased_between_is_unbiased_for_many_classes():
    "tr B of five unequal classes in 40 dimensions is right on average, where the plug-in is far off."
    counts, d = (8, 12, 20, 30, 10), 40
    means = np.zeros((5, d))
    means[:, 0] = (0, 0.3, 0.6, 0, -0.4)
    p = np.array(counts) / sum(counts)
    truth = p @ (means[:, 0] - p @ means[:, 0]) ** 2
    draws = np.array([(m.between, (m.spread**2).sum()) for m in (
        class_moments(*gaussians(k, counts, means, np.stack([np.eye(d)] * 5))) for k in range(600))])
    error = draws[:, 0].std() / 600**0.5
    assert abs(draws[:, 0].mean() - truth) < 4 * error
    assert draws[:, 1].mean() > 10 * truth


SPECTRA = {
    'isotropic': lambda d: np.ones(d), 'power': lambda d: 1 / np.arange(1, d + 1),
    'spiked': lambda d: np.r_[10, 5, 2, np.full(d - 3, 0.1)],
}
TABLE = [  # spectrum, d, members, plug-in / truth, split-half / truth
    ('isotropic', 64, 50, 4.33, 0.99), ('isotropic', 64, 200, 2.41, 1.03), ('power', 64, 50, 1.13, 0.83), ('power', 64, 200, 1.03, 0.96),
    ('isotropic', 256, 50, 10.4, 1.00), ('isotropic', 256, 200, 4.45, 0.99), ('power', 256, 50, 1.08, 0.72), ('power', 256, 200, 1.00, 0.91),
]


@pytest.mark.parametrize(('name', 'd', 'n', 'above', 'below'), TABLE, ids=lambda v: str(v))
def test_bracket_has_the_known_bias(name, d, n, above, below):
    "Split-half and plug-in estimates lie where simulation has put them, on either side of the truth."
    v = SPECTRA[name](d)
    got = np.array([bracket(rng(k, name, d, n).normal(size=(n, d)) * np.sqrt(v)) for k in range(60)]) / v.max()
    low, high = got.mean(0)
    error = got.std(0) / 60**0.5
    assert low < 1 + 4 * error[0] and high > 1 - 4 * error[1]
    assert abs(high - above) < 4 * error[1] + 0.08 * above and abs(low - below) < 4 * error[0] + 0.08


def test_a_spike_is_bracketed():
    "Three spikes above a flat floor."
    v = SPECTRA['spiked'](256)
    low, high = np.mean([bracket(rng(k).normal(size=(50, 256)) * np.sqrt(v)) for k in range(40)], 0) / v.max()
    assert low < 1 < high


def test_spectra_are_exact():
    "Stable rank and RankMe of clouds whose spectrum is known exactly."
    box = np.vstack([np.eye(12), -np.eye(12)])
    assert np.isclose(spectrum(box)['stable_rank'], 12) and np.isclose(spectrum(box)['rankme'], 12)
    spiked = spectrum(box * np.r_[3, np.ones(11)])
    share = np.r_[3, np.ones(11)] / 14
    assert np.isclose(spiked['stable_rank'], (9 + 11) / 9) and np.isclose(spiked['rankme'], np.exp(-(share * np.log(share)).sum()))
    shifted = spectrum(box + 5)
    assert np.isclose(shifted['rankme'], 12) and shifted['rankme_raw'] < 10
    assert spectrum(np.zeros((9, 4)))['rankme'] == 0


@given(st.integers(0, 10**6), st.sampled_from((3, 40, 63, 64, 65, 150)), st.integers(1, 200))
@few
def test_leading_is_the_top_of_a_decomposition(seed, d, n):
    "Lanczos and decomposition agree, for low rank too."
    x = rng(seed).normal(size=(n, d)) * np.exp(rng(seed, 1).normal(size=d))
    s = x.T @ x
    value, vector = leading(s)
    assert np.isclose(value, np.linalg.eigvalsh(s)[-1], rtol=1e-10)
    assert np.allclose(s @ vector, value * vector, atol=1e-6 * value)


# Batches and devices

@given(st.integers(0, 10**6), st.lists(st.integers(1, 159), max_size=6), st.booleans(), st.sampled_from((0.0, 1e4)))
@few
def test_batches_equal_one_shot(seed, cuts, pairwise, far):
    "However the stays are cut into batches and accumulators, the moments are those of the whole, with a mean of 10^4 spreads too."
    h, y = cloud(seed)
    whole = Moments((2, 2)).add(h, y)
    shift = far * h.std()
    h = h + shift
    edges = [0, *sorted(set(cuts)), len(h)]
    flow = Moments((2, 2))
    for a, b in zip(edges, edges[1:]):
        flow = flow.merge(Moments((2, 2)).add(h[a:b], y[a:b])) if pairwise else flow.add(h[a:b], y[a:b])
    tol = 1e-7 if far else 1e-11
    for one, other in ((flow.of(0), whole.of(0)), (flow.of(1), whole.of(1)), (flow.total, whole.total)):
        assert np.allclose(one.n, other.n) and np.allclose(one.cov, other.cov, rtol=tol, atol=tol * np.abs(other.cov).max())
        assert np.allclose(one.mean - shift, other.mean, atol=1e-14 * max(shift, 1e3))
    if not far:
        close(combine(moment_table(flow)), combine(moment_table(whole)))
        assert np.allclose(flow.norms(), whole.norms())


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64, torch.bfloat16, torch.float32, torch.float64])
def test_any_float_type_is_summed_in_float64(kind):
    "Arrays and tensors of any float type give the moments of the numbers that they hold."
    h, y = cloud(3)
    x = h.astype(kind) if not isinstance(kind, torch.dtype) else torch.from_numpy(h).to(kind)
    back = np.asarray(x, float) if not isinstance(kind, torch.dtype) else x.double().numpy()
    one, other = Moments((2, 2)).add(x, y), Moments((2, 2)).add(back, torch.from_numpy(y))
    for k in (0, 1):
        assert np.allclose(one.of(k).cov, other.of(k).cov, rtol=1e-12, atol=1e-12)
    close(combine(moment_table(one)), combine(moment_table(other)))
    close(geometry_of(x, torch.from_numpy(y)), geometry_of(back, y))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_cuda_equals_cpu():
    "The accumulator on a GPU holds what the one on the CPU holds."
    h, y = cloud(4, n=2000, d=96)
    here, there = Moments((2, 2)).add(h, y), Moments((2, 2)).add(torch.from_numpy(h).cuda(), torch.from_numpy(y).cuda())
    assert np.allclose(here.norms(), there.norms(), rtol=1e-9)
    close(combine(moment_table(here)), combine(moment_table(there)))
    assert np.allclose(here.merge(there).of(0).mean, there.of(0).mean)


def test_many_classes_and_empty_ones():
    "One labelling of many classes, some of them empty, one with a single member."
    h, _ = cloud(5)
    c = rng(5).integers(0, 6, len(h))
    c[0] = 8
    m = Moments(12).add(h, c).of()
    assert len(m.n) == 6 and m.n.sum() == len(h) - 1
    for k, cov in enumerate(m.cov):
        assert np.allclose(cov, np.cov(h[c == k].T))
    with pytest.raises(UserError, match='Number the classes'):
        Moments(3).add(h, c)


def test_moments_of_one_class_equal_sklearn():
    "Covariance with divisor n is scikit-learn's."
    h, y = cloud(6)
    m = class_moments(h, y[:, 0])
    mine = h[y[:, 0] == 1]
    assert np.allclose(m.cov[1] * (len(mine) - 1) / len(mine), EmpiricalCovariance().fit(mine).covariance_)


# Laws

@given(st.integers(0, 10**6), st.floats(0.01, 100))
@few
def test_scale_and_rotation(seed, a):
    "Measures of unit a^2 grow with the square of the scale, all others stay; none moves under a rotation."
    h, y = cloud(seed)
    start = measure(h, y, readouts=True, n_min=15, classes=y[:, 0], nuisances={'w': y[:, 1]})
    close(start, measure(a * h, y, readouts=True, n_min=15, classes=y[:, 0], nuisances={'w': y[:, 1]}), times=lambda k: a**2 if law(k) else 1)
    turn = ortho_group.rvs(h.shape[1], random_state=seed)
    close(start, measure(h @ turn, y, readouts=True, n_min=15, classes=y[:, 0], nuisances={'w': y[:, 1]}), tol=1e-6)


@given(st.integers(0, 10**6))
@few
def test_order_of_stays_names_of_classes_and_labels(seed):
    "The order of the stays, the names of the classes, 0 against 1, and the order of the labels change nothing."
    h, y = cloud(seed)
    start, order = geometry_of(h, y, n_min=15), rng(seed, 'order').permutation(len(h))
    fixed = [k for k in start if not any(w in k for w in BY_ROW)]
    close(start, geometry_of(h[order], y[order], n_min=15), fixed)
    close(start, geometry_of(h, 1 - y, n_min=15), fixed)
    close(start, geometry_of(h, y[:, ::-1], n_min=15), fixed)
    c = y[:, 0] + 2 * y[:, 1]
    fixed = [k for k in by_class(h, c) if not any(w in k for w in BY_ROW)]
    close(by_class(h, c), by_class(h, np.array(['d', 'a', 'c', 'b'])[c]), fixed)


@given(st.integers(0, 10**6), st.integers(0, 1))
@few
def test_a_label_given_twice_adds_nothing(seed, j):
    "MANOVA, label sets, and (of a single label) every average."
    h, y = cloud(seed)
    doubled = np.hstack([y, y[:, j:j + 1]])
    start, twice = geometry_of(h, y, n_min=15), geometry_of(h, doubled, n_min=15)
    close(start, twice, [k for k in start if k.startswith(('powerset', 'manova', 's_manova'))])
    alone = geometry_of(h, y[:, j])
    close(alone, geometry_of(h, y[:, [j, j]]), [k for k in alone if k != 'labels'])


@given(st.integers(0, 10**6), st.floats(0.05, 20))
@few
def test_cka_and_alignment_laws(seed, a):
    "CKA is symmetric and blind to scale, rotation and shift; alignment is blind to the scale of each row."
    h, y = cloud(seed)
    other = h @ rng(seed, 'map').normal(size=(h.shape[1], 5)) + rng(seed, 'noise').normal(size=(len(h), 5))
    turn = ortho_group.rvs(h.shape[1], random_state=seed)
    assert np.isclose(cka(h, other), cka(a * h @ turn + 3, other), atol=1e-7) and np.isclose(cka(h, other), cka(other, h))
    rows = np.exp(rng(seed, 'rows').normal(size=(len(h), 1)))
    assert np.isclose(alignment(h, h[::-1]), alignment(rows * h, a * h[::-1]))


def test_batched_cka_is_the_whole_on_average():
    "Averaged over random batches, the three HSICs are those of the whole."
    h, _ = cloud(7, n=600)
    other = h[:, :4] + 2 * rng(7).normal(size=(600, 4))
    values = []
    for k in range(20):
        order, batched = rng(k, 'batches').permutation(600), BatchedCKA()
        for i in range(0, 600, 50):
            batched.add(h[order[i:i + 50]], other[order[i:i + 50]])
        values.append(batched.value)
    assert abs(np.mean(values) - cka(h, other)) < 0.01
    two = BatchedCKA().add(h[:300], other[:300]).merge(BatchedCKA().add(h[300:], other[300:]))
    assert two.value == BatchedCKA().add(h[:300], other[:300]).add(h[300:], other[300:]).value


def test_collapse():
    "Stays on the means of their classes: no deviation, perfect reading; on one point: no deviation, nothing to read."
    h, y = cloud(8)
    c = y[:, 0]
    means = np.stack([h[c == k].mean(0) for k in (0, 1)])
    on_means = measure(means[c], c, readouts=True)
    assert on_means['s_paper'] < 1e-13 and on_means['ratio'] < 1e-12 and on_means['lda_auroc'] == 1
    point = measure(np.tile(h[0], (len(h), 1)), c, readouts=True)
    assert point['s_paper'] == 0 and point['lda_auroc'] == 0.5 and np.isnan(point['ratio']) and abs(point['uniformity']) < 1e-9


# Against scikit-learn

def test_discriminant_is_that_of_sklearn():
    "Without a ridge the direction is scikit-learn's, up to its length."
    h, y = cloud(9, n=400)
    c = y[:, 0]
    v, _ = direction(h, c, ridge=1e-12)
    w = LinearDiscriminantAnalysis(solver='lsqr').fit(h, c).coef_[0]
    cosine = v @ w / np.linalg.norm(v) / np.linalg.norm(w)
    assert abs(cosine - 1) < 1e-4  # theirs pools with divisor n_c
    assert np.isclose(roc_auc_score(c, h @ v), roc_auc_score(c, h @ w), atol=1e-3)


def test_probe_is_a_logistic_regression():
    "With one strength to choose from, the probe is scikit-learn's fit."
    h, y = cloud(10)
    mine = probe_fit(h, y[:, 0], (0.1,))
    assert np.allclose(mine.coef_, LogisticRegression(C=0.1, max_iter=200).fit(h, y[:, 0]).coef_)


def test_taught_readouts_say_what_is_missing():
    "Names of the taught read-outs; splits in which no label has both classes."
    h, y = cloud(11, n=400)
    found = taught((h[:300], y[:300]), (h[300:], y[300:]), at=(50, 200, 900))
    assert {'fit_d2', 'fit_lda_auroc', 'fit_mean_auroc', 'knn_auroc', 'probe_auroc_50', 'probe_auroc_200'} <= found.keys()
    assert 'probe_auroc_900' not in found and all(np.isfinite(list(found.values())))
    with pytest.raises(UserError, match='both classes'):
        taught((h[:300], y[:300]), (h[300:], 0 * y[300:]))


# The rest

def test_nuisance_share_of_known_variance():
    "eta^2 of twenty wards whose means have variance one, in noise of variance three."
    g = rng(12)
    ward = g.integers(0, 20, 20000)
    h = g.normal(size=(20, 8))[ward] + np.sqrt(3) * g.normal(size=(20000, 8))
    truth = class_moments(h, ward)
    assert abs(eta_squared(h, ward) - truth.between / (truth.between + truth.p @ truth.traces)) < 1e-12
    assert abs(eta_squared(h, ward) - 0.25) < 0.08 and abs(eta_squared(h, g.permutation(ward))) < 1e-3


def test_tables_are_matched_by_index():
    "Rows of a table find their labels in any order; numpy, torch and tables give one answer."
    pd = pytest.importorskip('pandas')
    h, y = cloud(13)
    ids = np.arange(len(h)) + 40
    table, labels = pd.DataFrame(h, index=ids)[::-1], pd.DataFrame(y, index=ids)
    assert np.array_equal(labels_of(table, labels), y[::-1])
    rows = measure_all({'array': h, 'tensor': torch.from_numpy(h), 'table': pd.DataFrame(h, index=ids)}, labels)
    close(rows.loc['array'].to_dict(), rows.loc['tensor'].to_dict())
    turned = [k for k in rows if not any(w in k for w in BY_ROW)]
    close(rows.loc['array'].to_dict(), rows.loc['table'].to_dict(), turned)


def test_one_row_per_label():
    "The table by label is the measures of each label alone."
    h, y = cloud(14)
    table = label_geometry(h, y)
    for j in (0, 1):
        close(table.iloc[j].to_dict(), label_geometry(h, y[:, j]).iloc[0].to_dict())
    assert top(np.cov(h[y[:, 0] == 1].T)) <= 2 * table.s_paper[0]
