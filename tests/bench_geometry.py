"""How fast the geometry is measured: class moments in one pass against a decomposition of every class, and what looking costs a training run.

    python tests/bench_geometry.py                       # all parts
    python tests/bench_geometry.py --only norms --stays 20000 --dims 256
    python tests/bench_geometry.py --only probes measures --json geometry.json

`norms`: spectral norms of all class covariances of 50,000 x 768, for 25 disjoint classes and for 25 labels (50 classes, which
overlap). Ours forms symmetric products class by class and takes one eigenvalue of each; the baseline decomposes the rows of every
class; without singular vectors; or takes the norm of the covariance. Times are of the CPU, or wall times on a GPU, which is measured too where
there is one. Goal: 20 times faster. A baseline that would take longer than `--patience` seconds is timed
on some classes and extrapolated by their stays; the line says so.
"""
import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault('LPNB_QUIET', '1')

import lp_nb.learning.training  # noqa: E402
from lp_nb.data.cohort import example_cohort  # noqa: E402
from lp_nb.core import rng  # noqa: E402
from lp_nb.learning.encoders import EncoderConfig  # noqa: E402
from lp_nb.measures.geometry import Moments, geometry_of  # noqa: E402
from lp_nb.learning.lab import Lab  # noqa: E402
from lp_nb.measures.readouts import measure  # noqa: E402
from lp_nb.study.trajectories import trajectory  # noqa: E402

PARTS = ('norms', 'measures', 'probes')
GOAL = 20


def header() -> dict:
    "What this machine is, printed and returned."
    out = dict(cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__, numpy=np.__version__,
               gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None)
    print(', '.join(f'{k} {v}' for k, v in out.items()), flush=True)
    return out


def seconds(f, device: str = 'cpu') -> tuple[float, object]:
    "Seconds of one call (of this process's CPU time on a CPU, whatever else runs; wall time on a GPU), and what it returned."
    def wait():
        "Until the device is done."
        if device == 'cuda':
            torch.cuda.synchronize()

    clock = time.perf_counter if device == 'cuda' else time.process_time
    wait()
    start = clock()
    out = f()
    wait()
    return clock() - start, out


# Class moments against a decomposition of every class

def embeddings(n: int, d: int, labels: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "Rows with a power-law spectrum (n, d) float32, disjoint classes (n,), labels (n, L) of the prevalences of phenotypes."
    g = rng(0, 'bench')
    x = (g.standard_normal((n, d), np.float32) / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
    c, y = g.integers(0, labels, n), (g.random((n, labels)) < np.linspace(0.04, 0.45, labels)).astype(int)
    return x + c[:, None] % 5 * 0.1 + 1, c, y


def norms_by_svd(part: torch.Tensor) -> float:
    "Spectral norm of the covariance of the rows of one class, by a decomposition of the rows."
    return float(torch.linalg.svd(part - part.mean(0), full_matrices=False)[1][0]) ** 2 / (len(part) - 1)


def norms_by_values(part: torch.Tensor) -> float:
    "The same without singular vectors."
    return float(torch.linalg.svdvals(part - part.mean(0))[0]) ** 2 / (len(part) - 1)


def norms_by_cov(part: torch.Tensor) -> float:
    "The line that one writes: `norm(cov(rows.T), 2)`."
    return float(torch.linalg.matrix_norm(torch.cov(part.T), 2))


BASELINES = {'svd': norms_by_svd, 'singular values only': norms_by_values, 'norm(cov, 2)': norms_by_cov}


def baseline(x: torch.Tensor, members: list, norm, patience: float) -> tuple[float, dict, str]:
    "Seconds for all classes, their norms by number, and a remark if the time was extrapolated."
    device, done, stays, spent = x.device.type, {}, 0, 0.0
    total = sum(map(len, members))
    for k in np.argsort([len(m) for m in members])[::-1]:  # the largest first: an honest rate if it stops early
        took, done[int(k)] = seconds(lambda k=k: norm(x[members[k]]), device)
        spent, stays = spent + took, stays + len(members[k])
        if spent * total / stays > patience and spent > patience / 3:
            return spent * total / stays, done, f' (extrapolated from {len(done)} of {len(members)} classes)'
    return spent, done, ''


def ours(x: torch.Tensor, y: torch.Tensor, classes: tuple, product: torch.dtype, rounds: int) -> tuple[float, np.ndarray]:
    "Median seconds of one pass of `Moments` with products in one float type, and the norms of all classes."
    one_pass = lambda: Moments(classes, product).add(x, y).norms()[1:]
    one_pass()  # warm
    runs = [seconds(one_pass, x.device.type) for _ in range(rounds)]
    return float(np.median([took for took, _ in runs])), runs[0][1]


def duel(name: str, x: torch.Tensor, codes: np.ndarray, classes: tuple, patience: float, rounds: int) -> list[dict]:
    "Our norms, with products in the type of the rows and in float32, against the baselines in the type of the rows."
    y, kind, lines = torch.from_numpy(codes).to(x.device), str(x.dtype).removeprefix('torch.'), []
    members = [torch.from_numpy(np.flatnonzero(codes[:, k] == c)).to(x.device) for k, n in enumerate(classes) for c in range(n)]
    found = {product: ours(x, y, classes, product, rounds) for product in dict.fromkeys((x.dtype, torch.float32))}
    print(f'  {x.device.type}, rows in {kind}, {name}: ' + ', '.join(f'{took:.3f} s in {p}' for p, (took, _) in found.items()))
    for what, norm in BASELINES.items():
        norm(x[members[0]][:800])  # warm
        slow, truth, remark = baseline(x, members, norm, patience)
        for product, (took, values) in found.items():
            gap = max(abs(values[k] / v - 1) for k, v in truth.items())
            assert gap < (1e-9 if product == x.dtype == torch.float64 else 1e-3), gap
            print(f'    {what:21} {slow:7.2f} s{remark}, products in {str(product)[6:]}: {slow / took:6.1f}x, norms agree to {gap:.0e}; '
                  f'goal >= {GOAL}x: {"met" if slow / took >= GOAL else "NOT met"}', flush=True)
            lines.append(dict(part='norms', device=x.device.type, rows=kind, product=str(product)[6:], what=name, baseline=what, ours=took,
                              other=slow, ratio=slow / took, gap=gap, remark=remark.strip()))
    return lines


def norms(n: int, d: int, patience: float, rounds: int) -> list[dict]:
    "Disjoint classes and overlapping labels, in double and single precision, on every device."
    x, c, y = embeddings(n, d)
    lines = []
    for device in ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',):
        for kind in (torch.float64, torch.float32):
            z = torch.from_numpy(x).to(device, kind)
            lines += duel(f'{n:,} x {d}, 25 disjoint classes', z, c[:, None], (25,), patience, rounds)
            lines += duel(f'{n:,} x {d}, 25 labels (50 classes)', z, y, (2,) * 25, patience, rounds)
    if not torch.cuda.is_available():
        print('  no CUDA device on this machine: not measured')
    return lines


# All measures of one cloud

def measures() -> list[dict]:
    "Seconds of the measures at sizes that occur."
    lines = []
    for n, d, labels in ((256, 512, 1), (256, 512, 25), (1500, 128, 25), (3000, 768, 25)):
        x, _, y = embeddings(n, d, labels)
        took = seconds(lambda: geometry_of(x, y))[0]
        read = seconds(lambda: measure(x, y, readouts=True))[0]
        print(f'  {n:5,} stays x {d}, {labels:2} labels: geometry {took:6.2f} s, with cross-fitted read-outs {read:6.2f} s', flush=True)
        lines.append(dict(part='measures', stays=n, dims=d, labels=labels, geometry=took, readouts=read))
    return lines


# Looks during training

def trained(plan: str, **lab) -> tuple[float, float, int, object]:
    "Seconds of a plan in a new lab, those of its looks, how many looks, and the run."
    spent, look = [], lp_nb.learning.training.look
    place = Lab(tempfile.mkdtemp(), example_cohort('mortality'), EncoderConfig(), **lab)
    place.data, place.probe  # tokens are made before the clock starts
    lp_nb.learning.training.look = lambda trainer, step: spent.append(seconds(lambda: look(trainer, step))[0])
    try:
        took, run = seconds(lambda: place.run(plan))
    finally:
        lp_nb.learning.training.look = look
    return took, sum(spent), len(spent), run


def probes(plan: str) -> list[dict]:
    "Share of a run's time that goes into looks at the probe, and what measuring them costs afterwards."
    lines = []
    for points in (0, 6):
        took, looks, count, run = trained(plan, points=points)
        share = looks / took
        print(f'  {plan}, points={points}: {took:6.1f} s, of which {count:2} looks at {len(run.lab.probe)} stays {looks:5.2f} s: '
              f'{share:5.1%}; goal < 10 %: {"met" if share < 0.1 else "NOT met"}', flush=True)
        lines.append(dict(part='probes', plan=plan, points=points, training=took, looks=looks, count=count, share=share))
        if points:
            first, table = seconds(lambda run=run: trajectory(run, readouts=True))
            second = seconds(lambda run=run: trajectory(run, readouts=True))[0]
            print(f'    measures of {len(table)} points: {first:.2f} s, {first / took:.1%} of the run; read again in {1000 * second:.0f} ms')
            lines[-1] |= dict(measures=first, again=second, rows=len(table))
    print(f'  the whole run took {lines[1]["training"] / lines[0]["training"] - 1:+.1%} against points=0, which looks at the first and last step only')
    return lines


def main():
    "Measure the wanted parts and print them."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option('--stays', type=int, default=50_000, help='rows of the part `norms`')
    option('--dims', type=int, default=768, help='columns of the part `norms`')
    option('--patience', type=float, default=180, help='seconds a baseline may take before it is extrapolated')
    option('--rounds', type=int, default=3, help='timed runs of ours (median)')
    option('--plan', default='mlm(epochs=5) > contrastive(epochs=5) > supervised(epochs=5)', help='what the part `probes` trains')
    option('--only', nargs='+', choices=PARTS, default=PARTS, help='parts to measure')
    option('--json', type=Path, help='file to write the numbers to')
    a = parser.parse_args()
    parts = dict(norms=('spectral norms of classes', lambda: norms(a.stays, a.dims, a.patience, a.rounds)),
                 measures=('all measures of one cloud', measures), probes=('looks during training', lambda: probes(a.plan)))
    result = dict(machine=header(), lines=[])
    for name in a.only:
        title, run = parts[name]
        print(f'\n{title}', flush=True)
        result['lines'] += run()
    if a.json:
        a.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
