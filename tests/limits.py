"""How far the kit is from what a machine allows: each number beside a named baseline, taken in turn in the same run.

    python tests/limits.py page lab growth step frozen
    python tests/limits.py page --stays 10700 --seeds 10 --rates 1
    python tests/limits.py --small

CPU seconds are those of this process and of the children that have ended, threads included; on a machine that others use they
say more than the wall's. What was extrapolated says so. Nothing is asserted here but that two ways give the same numbers.
"""
import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
os.environ.setdefault('LPNB_QUIET', '1')

from lp_nb.core import file_fingerprint, fingerprint, rng  # noqa: E402
from lp_nb.folders import sealed  # noqa: E402


# Clocks and lines

def cpu_seconds() -> float:
    "User and system time of this process, its threads and its ended children."
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


@contextmanager
def clock(into: dict, what: str):
    "Add wall and CPU seconds of a block to `into[what]`."
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield
    took = np.array([time.perf_counter() - wall, cpu_seconds() - cpu])
    into.setdefault(what, []).append(took)


def least(times: list) -> np.ndarray:
    "Wall and CPU seconds of the call with the least CPU: what others took from the machine is not counted."
    return min(times, key=lambda t: t[1])


def line(what: str, times: np.ndarray, said: str = ''):
    "Print what something took."
    print(f'  {what:72} {times[0]:9.3f} s  {times[1]:9.3f} CPU s  {said}', flush=True)


# One page of Table 1: from finished runs to judged

@dataclass(frozen=True)
class PlantedCohort:
    "As much of a cohort as a judgement reads."

    task: str
    stays: pd.DataFrame
    labels: list
    hash: str
    has_reports, is_open, tokenizer = True, True, None
    manifest = property(lambda self: dict(release='synthetic', rules=dict(preset='planted')))

    def ids(self, split: str) -> pd.Index:
        "stay_id of a split."
        return self.stays.index[self.stays['split'] == split]


def planted_cohort(stays: int, labels: int) -> PlantedCohort:
    "A cohort with `stays` test stays, half as many validation stays and one training stay in ten; patients return."
    g, n = rng(0, 'planted cohort'), stays + stays // 2 + stays // 10
    who = np.sort(g.integers(0, max(2, int(n / 1.2)), n))
    level = g.normal(size=(n, labels)) + 0.7 * g.normal(size=(who.max() + 1, labels))[who] - g.uniform(0.4, 2, labels)
    pick = lambda *levels: g.choice(levels, n)
    names = [f'label {k}' for k in range(labels)]
    frame = pd.DataFrame((level > 0).astype(int), columns=names)
    split = np.repeat(['test', 'val', 'train'], [stays, stays // 2, stays // 10])
    frame = frame.assign(subject_id=who, split=split, gender=pick('F', 'M'), age=g.integers(18, 95, n), careunit=pick('MICU', 'SICU', 'CCU'),
                         race=pick('WHITE', 'BLACK/AFRICAN AMERICAN', 'ASIAN', 'UNKNOWN'), year_group=pick('2008 - 2010', '2017 - 2019'),
                         has_report=g.random(n) < 0.9)
    frame.index = pd.Index(np.arange(n) + 30_000_000, name='stay_id')
    return PlantedCohort('phenotyping', frame, names, fingerprint(level))


def planted_risks(cohort: PlantedCohort, split: str, skill: float, *names) -> np.ndarray:
    "Probabilities of a split (stays, labels) float32 that know something of the labels."
    y = cohort.stays.loc[cohort.ids(split), cohort.labels].to_numpy(float)
    noise = rng(0, 'planted risks', split, *names).normal(size=y.shape)
    return (1 / (1 + np.exp(2 - skill * y - 1.2 * noise))).astype(np.float32)


def tensors(said: dict, path: Path) -> bytes:
    "The bytes of a safetensors file."
    import torch
    from safetensors.torch import save_file

    save_file({k: torch.as_tensor(v).contiguous() for k, v in said.items()}, path)
    return path.read_bytes()


def plant_result(lab, plan, seed: int, files: dict, score: float):
    "A finished result as `write_result` leaves one, of files (name -> bytes) that hold next to nothing."
    from lp_nb.learning.unit import lab_addresses, node_facts, stage_folder, stage_kind, versions

    folder = stage_folder(lab, lab_addresses(lab, plan, seed)[-1])
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    work = dict(kind=stage_kind(plan.stages[-1]), took=1.0, cost=100)
    facts = node_facts(lab, plan, seed) | dict(metrics=dict(score=score, best_step=1, steps=2, seconds=1.0), work=work, files=listed,
                                               encoder=vars(lab.encoder), device='cpu', versions=versions(), sealed=True)
    text = json.dumps(sealed(facts), indent=1, sort_keys=True, ensure_ascii=False) + '\n'  # as `write_json` writes it, but not kept by force
    (folder / 'result.json').write_text(text)


PAGE_ARMS = {'neither': 'supervised', 'MLM': 'mlm > supervised', 'contrastive': 'contrastive > supervised',
             'MLM + contrastive': 'mlm > contrastive > supervised', 'series only': 'supervised(reads=series)',
             'fused': 'mlm > contrastive > supervised(reads=both)'}


def planted_study(folder: Path, cohort: PlantedCohort, rates: int, seeds: int):
    "A study of six arms x rates x seeds, all of whose runs are finished, with its baselines kept."
    from lp_nb.study.search import Search
    from lp_nb.study.sweeps import Study
    from lp_nb.study.table1 import BASELINES

    study = Study(folder, {cohort.task: cohort}, PAGE_ARMS, Search(rates), range(seeds))
    lab, where = study.labs[cohort.task], cohort.stays['split'].to_numpy()
    for k, job in enumerate(study.jobs):
        skill = 1.0 + 0.1 * list(PAGE_ARMS).index(job.arm)
        risks = {s: planted_risks(cohort, s, skill, job.arm, job.seed, k) for s in ('val', 'test')}
        files = {'model.safetensors': b'x' * 64, 'predictions.safetensors': tensors(risks, folder / 'planted.safetensors')}
        plant_result(lab, job.plan, job.seed, files, 0.7 + 0.001 * (k % 7))
    (folder / 'planted.safetensors').unlink()
    held = cohort.stays.index[np.isin(where, ('val', 'test'))]
    frames = {}
    for name, skill in {'prevalence': 0.0, 'series summaries': 0.9, 'report words': 1.1}.items():
        both = pd.concat(pd.DataFrame(planted_risks(cohort, s, skill, name), cohort.ids(s), cohort.labels) for s in ('test', 'val'))
        frames[name] = both.loc[held].astype(float)
    (folder / 'baselines').mkdir()
    pd.concat(frames, names=['name']).to_parquet(folder / 'baselines' / f'{cohort.hash}-{BASELINES}.parquet')
    return study


def loop_seconds(judged: int, cohort: PlantedCohort, resamples: int, timed: int) -> np.ndarray:
    "Wall and CPU seconds of a plain loop over scikit-learn for AUROC alone, extrapolated from `timed` resamples of one predictor."
    from sklearn.metrics import roc_auc_score

    y = cohort.stays.loc[cohort.ids('test'), cohort.labels].to_numpy(int)
    p, g, times = planted_risks(cohort, 'test', 1.0, 'loop'), rng(0, 'loop'), {}
    roc_auc_score(y[:, 0], p[:, 0])  # what it imports is imported
    with clock(times, 'loop'):
        for _ in range(timed):
            rows = g.integers(0, len(y), len(y))
            _ = [roc_auc_score(y[rows, j], p[rows, j]) for j in range(y.shape[1])]
    return times['loop'][0] / timed * resamples * judged


def digest(judgement, folder: Path) -> str:
    "The fingerprint of all files of a saved judgement."
    judgement.save(folder, replace=True)
    return fingerprint({str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(folder.rglob('*')) if p.is_file()})


def page(o):
    "Sixty finished runs, judged: all tables of a page of Table 1."
    from lp_nb.study.table1 import judge

    cohort = planted_cohort(o.stays, o.labels)
    with tempfile.TemporaryDirectory() as tmp:
        study = planted_study(Path(tmp) / 'lab', cohort, o.rates, o.seeds)
        runs, judged = len(study.jobs), len(PAGE_ARMS) * o.seeds + 3
        print(f'  {runs} runs ({len(PAGE_ARMS)} arms x {o.rates} rates x {o.seeds} seeds), {o.labels} labels, {o.stays:,} test stays, '
              f'{o.resamples:,} resamples; {judged} predictors are judged (chosen runs and 3 baselines)')
        times = {}
        warm = planted_study(Path(tmp) / 'warm', planted_cohort(300, 2), 1, 1)
        judge(warm, n=20)  # what is compiled is compiled
        with clock(times, 'judge'):
            found = judge(study, n=o.resamples)
        with clock(times, 'again'):
            judge(study, n=o.resamples)
        loop = loop_seconds(judged, cohort, o.resamples, o.timed)
        ours = times['judge'][0]
        line(f'loop over roc_auc_score, AUROC alone, extrapolated from {o.timed} resamples', loop)
        line('judge: every table of the page', ours, f'{loop[1] / ours[1]:,.0f}x less CPU; goal < 5 s: {"met" if ours[1] < 5 else "NOT met"}')
        line('judge again, tables kept', times['again'][0])
        print(f'  tables: {digest(found, o.tables or Path(tmp) / "page")}', flush=True)


# A lab with ten thousand results

def planted_lab(folder: Path, results: int):
    "A study of six arms x 10 rates x as many seeds as give that many results, shared beginnings among them; and kept vectors."
    from lp_nb.study.search import Search
    from lp_nb.study.sweeps import Study

    cohort = planted_cohort(60, 1)
    study = Study(folder, {cohort.task: cohort}, PAGE_ARMS, Search(10), range(max(1, round(results / 63))))
    lab, path = study.labs[cohort.task], folder / 'planted.safetensors'
    files = {'model.safetensors': b'x' * 4096, 'history.parquet': b'x' * 512, 'probes.safetensors': tensors({'0': np.zeros((4, 4))}, path)}
    files['predictions.safetensors'] = tensors({s: planted_risks(cohort, s, 1.0) for s in ('val', 'test')}, path)
    path.unlink()
    done = {}
    for job in study.jobs:
        for n in range(1, len(job.plan) + 1):
            done.setdefault((str(job.plan.first(n)), job.seed), job.plan.first(n))
    for k, ((_, seed), plan) in enumerate(done.items()):
        plant_result(lab, plan, seed, files, 0.7 + 0.001 * (k % 7))
    (folder / 'embeddings').mkdir()
    for p in sorted((folder / 'stages').iterdir())[::10]:
        (folder / 'embeddings' / f'{p.name}-test.safetensors').write_bytes(b'x' * 512)
    return study, len(done)


def lab(o):
    "Opening and asking a lab with thousands of results."
    from lp_nb.learning.lab import Lab
    from lp_nb.study.sweeps import chosen

    with tempfile.TemporaryDirectory() as tmp:
        times, folder = {}, Path(tmp) / 'lab'
        with clock(times, 'built'):
            study, results = planted_lab(folder, o.results)
        files = sum(len(f) for _, _, f in os.walk(folder))
        cohort, key = next(iter(study.labs.values())).cohort, study.key
        print(f'  {results:,} results (5 small files each) of {len(study.jobs):,} runs, {files:,} files, study {key}')
        keep = [str(p) for p in study.arms.values()]
        fresh = lambda: type(study)(folder, study_cohorts(study), study.arms, study.search, study.seeds)
        asked = {'open the lab': lambda: Lab(folder, cohort), 'tree': lambda: Lab(folder, cohort).tree(),
                 'gc, dry run, every result stays': lambda: Lab(folder, cohort).gc(),
                 'gc, dry run, some plans stay': lambda: Lab(folder, cohort).gc(keep), 'study: open, jobs': lambda: fresh().jobs,
                 'study: open, results': lambda: fresh().results, 'study: open, chosen runs': lambda: chosen(fresh()),
                 'study: open, what is left': lambda: fresh().backlog.left()}
        walked = lambda: [p.read_bytes() for p in (folder / 'stages').glob('*/result.json')]
        for what, ask in {'baseline: read every result.json, nothing else': walked, **asked}.items():
            for _ in range(o.repeat):
                with clock(times, what):
                    ask()
            first, best = times[what][0], least(times[what])
            goal = '' if what.startswith('base') else f'goal < 1 s: {"met" if best[1] < 1 else "NOT met"}'
            line(what, best, f'{goal} (the first time {first[1]:.2f} CPU s)')
        line('(to build it)', times['built'][0])


def study_cohorts(study) -> dict:
    "Task -> cohort."
    return {task: one.cohort for task, one in study.labs.items()}


PARTS = dict(page=page, lab=lab)
SMALL = dict(stays=300, labels=3, rates=2, seeds=1, resamples=40, timed=2, results=63, repeat=1)


def options() -> argparse.ArgumentParser:
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole = lambda text: int(float(text))
    option = parser.add_argument
    option('parts', nargs='*', metavar='PART', help=f'{", ".join(PARTS)}; default: all')
    option('--small', action='store_true', help='sizes at which every part runs in seconds: shows that it works, not how fast it is')
    option('--stays', type=whole, default=2000, help='page: test stays (the paper: about 4,500 and 10,700)')
    option('--labels', type=whole, default=25, help='page: labels')
    option('--rates', type=whole, default=10, help='page: learning rates of each arm and seed')
    option('--seeds', type=whole, default=1, help='page: seeds')
    option('--resamples', type=whole, default=1000, help='page: patient resamples')
    option('--timed', type=whole, default=4, help='page: resamples that the loop over scikit-learn is timed on')
    option('--results', type=whole, default=10_000, help='lab: results in it')
    option('--repeat', type=int, default=2, help='runs of a question; the one with the least CPU counts')
    option('--tables', type=Path, help='page: folder that keeps the tables, to compare them with those of another version')
    return parser


def main(words=None):
    "Measure the wanted parts and print them."
    parser = options()
    o = parser.parse_args(words)
    if set(o.parts) - PARTS.keys():
        parser.error(f'unknown part among {o.parts}; there are {", ".join(PARTS)}')
    if o.small:
        vars(o).update(SMALL)
    for name in o.parts or PARTS:
        print(f'\n{name}: {PARTS[name].__doc__}', flush=True)
        PARTS[name](o)


if __name__ == '__main__':
    main()
