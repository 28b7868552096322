"""Benchmarks of the judgement: speed against a loop over scikit-learn, memory, coverage of the intervals, size of the tests.

    python tests/bench_judgement.py [speed] [memory] [coverage] [many] [size]
"""
import argparse
import time
import tracemalloc

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from lp_nb.measures.comparison import ArmDraws, delong_difference, tail_p, tested
from lp_nb.core import rng
from lp_nb.measures.evaluation import auroc, example_arms, macro, score
from lp_nb.measures.intervals import bootstrap, delong, evaluate, patient_weights


def speed(stays=10_000, labels=25, repeats=1000, timed=8):
    "25 labels x 10,000 patients x 1,000 resamples, AUROC and AUPRC; scikit-learn is timed on `timed` of the resamples, spread evenly."
    cast = example_arms(stays, stays, labels)
    bootstrap(cast.y[:50], cast.a[:50], n=2)  # compiled before the clock starts
    start = time.perf_counter()
    ours = bootstrap(cast.y, cast.a, np.arange(stays), n=repeats)
    fast = time.perf_counter() - start
    weights = np.hstack(list(patient_weights(np.arange(stays), repeats, 0)))
    some, slow, gap = np.linspace(0, repeats - 1, timed).astype(int), 0.0, 0.0
    for k in some:
        rows = np.repeat(np.arange(stays), weights[:, k])
        start = time.perf_counter()
        theirs = np.array([[f(cast.y[rows, j], cast.a[rows, j]) for j in range(labels)] for f in (roc_auc_score, average_precision_score)])
        slow += time.perf_counter() - start
        gap = max(gap, np.abs(theirs - [ours['AUROC'][k], ours['AUPRC'][k]]).max())
    loop = slow / timed * repeats
    print(f'speed: {labels} labels x {stays:,} patients x {repeats:,} resamples: ours {fast:.2f} s; a loop over scikit-learn {loop:.0f} s '
          f'({timed} of {repeats:,} resamples timed): {loop / fast:.0f} times; largest difference {gap:.1e}')


def peak(stays, repeats, labels=5):
    "Largest memory that a bootstrap holds at a time, MB."
    cast = example_arms(stays, stays, labels)
    tracemalloc.start()
    bootstrap(cast.y, cast.a, np.arange(stays), n=repeats)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def memory():
    "Growth of memory with stays and with resamples."
    bootstrap([0, 1], [.1, .2], n=1)  # compiled before
    for stays, repeats in ((25_000, 100), (50_000, 100), (100_000, 100), (200_000, 100), (100_000, 400)):
        most = peak(stays, repeats)
        print(f'memory: {stays:,} stays x {repeats} resamples x 5 labels: {most:.0f} MB, {1e3 * most / stays:.2f} kB for each stay')


def returning(seed, patients, stays=3):
    "Labels (n, 3), scores (n, 3), patient of each stay; labels and scores depend on a frailty that the stays of a patient share."
    g = rng(seed, 'coverage')
    who = np.repeat(np.arange(patients), g.poisson(stays - 1, patients) + 1)
    frail, taste = g.normal(size=(patients, 3))[who], g.normal(size=(patients, 3))[who]
    events = (frail + 0.5 * g.normal(size=frail.shape) > [0.3, 0.8, 1.1]).astype(int)
    return events, stats.norm.cdf(0.8 * frail + taste + 0.3 * g.normal(size=frail.shape)), who


def coverage(hospitals=3000, patients=500, repeats=500):
    "How often 95 % intervals hold the truth, patients returning three times on average."
    metrics = ('AUROC', 'AUPRC', 'Brier')
    big = returning(10**6, 300_000)
    truth = np.concatenate([np.append(score(*big[:2], m), macro(score(*big[:2], m))[0]) for m in metrics])
    ways, held, start = {'bias-corrected': True, 'percentile': True, 'BCa': True, 'rows': False}, {}, time.perf_counter()
    for k in range(hospitals):
        events, risk, who = returning(k, patients)
        for way, clustered in ways.items():
            method = 'percentile' if way == 'rows' else way
            found = evaluate(events, risk, who if clustered else None, metrics=metrics, n=repeats, seed=k, method=method)
            held.setdefault(way, []).append((found.low <= truth) & (truth <= found.high))
        one = delong(events[:, 0], risk[:, 0], who)
        held.setdefault('DeLong', []).append([one['low'] <= truth[0] <= one['high']])
    print(f'coverage over {hospitals:,} hospitals of {patients} patients, {repeats} resamples, standard error {np.sqrt(.05 * .95 / hospitals):.4f} '
          f'({time.perf_counter() - start:.0f} s); columns: three labels, macro, for each of {", ".join(metrics)}')
    for way, rows in held.items():
        print(f'coverage, {way}:', np.mean(rows, 0).round(3).tolist())


def many_labels(seed, patients, labels=25):
    "As `returning`, with 25 labels from common to rare."
    g = rng(seed, 'many labels')
    who = np.repeat(np.arange(patients), g.poisson(2, patients) + 1)
    frail, taste = g.normal(size=(patients, labels))[who], g.normal(size=(patients, labels))[who]
    events = (frail + 0.5 * g.normal(size=frail.shape) > np.linspace(0.3, 1.7, labels)).astype(int)
    return events, stats.norm.cdf(0.8 * frail + taste + 0.3 * g.normal(size=frail.shape)), who


def many(hospitals=500, repeats=1000):
    "Coverage of the macro intervals over 25 labels, by the number of patients."
    metrics, big = ('AUROC', 'AUPRC'), many_labels(10**6, 150_000)
    truth = np.array([macro(score(*big[:2], m))[0] for m in metrics])
    for patients in (200, 500):
        held = {}
        for k in range(hospitals):
            events, risk, who = many_labels(k, patients)
            for method in ('percentile', 'bias-corrected', 'BCa'):
                rows = evaluate(events, risk, who, metrics=metrics, n=repeats, seed=k, method=method).query("label == 'macro'")
                held.setdefault(method, []).append((rows['low'].to_numpy() <= truth) & (truth <= rows['high'].to_numpy()))
        print(f'coverage of the macro over 25 labels, {patients} patients, {hospitals} hospitals, {repeats} resamples (AUROC, AUPRC):',
              {k: np.mean(v, 0).round(3).tolist() for k, v in held.items()})


def equal_arms(seed, patients=300, stays=3, models=1):
    "Labels, two lists of equally good scores and patient of each stay."
    g = rng(seed, 'equal arms')
    who = np.repeat(np.arange(patients), g.poisson(stays - 1, patients) + 1)
    frail = g.normal(size=patients)[who]
    events = (frail + 0.5 * g.normal(size=len(who)) > 0.8).astype(int)
    arm = lambda: g.normal(size=patients)[who] + 0.5 * g.normal(size=len(who))  # noise that all its seeds share
    drift = 0.4 if models > 1 else 0.0  # what a seed adds by chance: with one seed an arm would not be equal to the other
    lean = lambda noise: [stats.norm.cdf(frail + noise + drift * g.normal() * g.normal(size=len(who))) for _ in range(models)]
    return events, lean(arm()), lean(arm()), who


def draws_of(events, predictions, who, repeats, seed):
    "`ArmDraws` of one arm and one label."
    values = np.array([auroc(events, p)[0] for p in predictions])
    return ArmDraws(values, np.array([bootstrap(events, p, who, 'AUROC', n=repeats, seed=seed)['AUROC'][:, 0] for p in predictions]))


def size(pairs=4000, repeats=1000):
    "False alarms at 5 % when two arms are equal: one seed, and five seeds of either."
    one, closed, five, start = [], [], [], time.perf_counter()
    for k in range(pairs):
        events, a, b, who = equal_arms(k)
        first, second = (draws_of(events, p, who, repeats, k) for p in (a, b))
        one.append(tail_p(first.draws[0] - second.draws[0], first.values[0] - second.values[0]) <= 0.05)
        closed.append(delong_difference(events, a[0], b[0], who)['p'] <= 0.05)
    for k in range(pairs // 4):
        events, a, b, who = equal_arms(k, models=5)
        first, second = (draws_of(events, p, who, repeats // 4, k) for p in (a, b))
        five.append(tested(ArmDraws(first.values - second.values, first.draws - second.draws), 0.01)['p'] <= 0.05)
    print(f'size: false alarms at 5 %: paired bootstrap {np.mean(one):.4f} and DeLong {np.mean(closed):.4f} over {pairs:,} pairs of equal arms (standard '
          f'error {np.sqrt(.05 * .95 / pairs):.4f}); five seeds, patients and seeds together {np.mean(five):.4f} over {pairs // 4:,} '
          f'({time.perf_counter() - start:.0f} s)')


PARTS = dict(speed=speed, memory=memory, coverage=coverage, many=many, size=size)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', metavar='PART', help=f'{", ".join(PARTS)}; default: all')
    chosen = parser.parse_args().parts or list(PARTS)
    if set(chosen) - PARTS.keys():
        parser.error(f'unknown part among {chosen}; there are {", ".join(PARTS)}')
    for part in chosen:
        PARTS[part]()
