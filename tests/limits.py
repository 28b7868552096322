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
import subprocess
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
from lp_nb.folders import read_json, sealed  # noqa: E402


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


# Growth: documents of masked language modelling, rows of a chart

def peak_mb() -> float:
    "Most resident memory of this process so far, MB; `ru_maxrss` would count what was there before it was replaced."
    status = Path('/proc/self/status')
    kilobytes = next(int(x.split()[1]) for x in status.read_text().splitlines() if x.startswith('VmHWM')) if status.exists() else 0
    return (kilobytes or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024 / 1e6


def mlm_job(documents: int):
    "In a process of its own: tokens of so many texts, an MLM objective, three steps; seconds and peak MB after each."
    from types import SimpleNamespace

    from lp_nb.data.cohort import example_cohort
    from lp_nb.learning.encoders import EncoderConfig, build_towers
    from lp_nb.learning.inputs import LearningData
    from lp_nb.learning.mlm import MLM
    from lp_nb.learning.tokens import tokenize, train_tokenizer
    from lp_nb.learning.training import Trainer, train_step

    some = [t[:200] for t in example_cohort('mortality').corpus]
    tokenizer, said, times = train_tokenizer(some, vocab_size=2000), {'before': peak_mb()}, {}
    with clock(times, 'tokens'):
        store = tokenize([some[i % len(some)] for i in range(documents)], tokenizer)
    said['tokens'] = peak_mb()
    fake = SimpleNamespace(stays=pd.DataFrame(dict(split=[])), has_reports=False)
    data = LearningData(fake, tokenizer, tokenize([], tokenizer), store, np.zeros((1, 1), np.float32), np.zeros(1), np.zeros((0, 1)))
    with clock(times, 'objective'):
        objective = MLM().objective(build_towers(EncoderConfig(width=64, layers=2, heads=4, vocab_size=2000), 1, 0), data, 0)
    said['objective'] = peak_mb()
    with tempfile.TemporaryDirectory() as tmp:
        trainer = Trainer(objective, MLM(), seed=0, folder=Path(tmp) / 'run')
        objective.train()
        for k in range(3):
            with clock(times, 'step'):
                train_step(trainer, np.arange(32 * k, 32 * k + 32) % len(objective.chunks))
    said['steps'] = peak_mb()
    print(json.dumps(dict(mb=said, cpu={k: float(least(t)[1]) for k, t in times.items()}, store=store.ids.nbytes / 1e6)))


def repeated(folder: Path, out: Path, times: int) -> Path:
    "A hospital whose chart holds every row so many times: the packed rows are written again and again behind one header."
    import gzip
    import shutil

    shutil.copytree(folder, out, dirs_exist_ok=True)
    chart = out / 'icu' / 'chartevents.csv.gz'
    header, rows = gzip.decompress(chart.read_bytes()).split(b'\n', 1)
    packed = gzip.compress(rows, 1)
    with open(chart, 'wb') as f:
        f.write(gzip.compress(header + b'\n'))
        for _ in range(times):
            f.write(packed)
    return out


def decompress(chart: Path):
    "isa-l's decompression of a file, in pieces that are thrown away."
    from isal import igzip

    with igzip.open(chart, 'rb') as f:
        while f.read(1 << 20):
            pass


def bare(root: Path):
    "isa-l's decompression, then Polars: parse four columns, keep the items, find the hour, the last value of each; nothing checked."
    import polars as pl
    from isal import igzip

    known = pl.read_csv(ROOT / 'lp_nb' / 'assets' / 'variable_map.csv').filter(table='chartevents')['itemid'].to_list()
    kinds = dict(stay_id=pl.Int64, itemid=pl.Int64, valuenum=pl.Float64)
    time_of = lambda c: pl.col(c).str.to_datetime('%Y-%m-%d %H:%M:%S')
    stays = pl.scan_csv(root / 'icu/icustays.csv.gz', infer_schema=False, schema_overrides=kinds).select('stay_id', time_of('intime')).collect()
    held, rest = [], b''
    with igzip.open(root / 'icu/chartevents.csv.gz', 'rb') as f:
        header = f.readline()
        while piece := f.read(8 << 20):
            end = piece.rfind(b'\n') + 1
            block = pl.read_csv(header + rest + piece[:end], infer_schema=False, schema_overrides=kinds,
                                columns=['stay_id', 'itemid', 'charttime', 'valuenum'])
            held.append(block.filter(pl.col('itemid').is_in(known)).with_columns(time_of('charttime')))
            rest = piece[end:]
    hour = ((pl.col('charttime') - pl.col('intime')).dt.total_seconds() // 3600).alias('hour')
    pl.concat(held).join(stays, on='stay_id').group_by('stay_id', 'itemid', hour).agg(pl.col('valuenum').last())


def lines_alone(chart: Path):
    "Decompression and the check of every line, and nothing else: what the cohort adds to the bare scan by being careful."
    from lp_nb.data.lines import row_blocks

    for _ in row_blocks(chart):
        pass


def built(root: Path):
    "The mortality cohort with the default rules."
    from lp_nb.data.cohort import build_cohort

    with tempfile.TemporaryDirectory(dir=root.parent) as tmp:
        build_cohort(root, task='mortality', preset='clean', out=Path(tmp) / 'cohort')


JOBS = {'isa-l alone': lambda root: decompress(root / 'icu/chartevents.csv.gz'), 'isa-l and a bare Polars scan': bare,
        'isa-l and the check of lines': lambda root: lines_alone(root / 'icu/chartevents.csv.gz'), 'build_cohort': built}


def job(what: str, where: str):
    "One job in this process: what it cost beyond its imports, as a line of JSON."
    if what == 'mlm':
        return mlm_job(int(where))
    import isal  # noqa: F401
    import polars  # noqa: F401

    import lp_nb.data.cohort  # noqa: F401

    times, before = {}, peak_mb()
    with clock(times, 'job'):
        JOBS[what](Path(where))
    print(json.dumps(dict(times=times['job'][0].tolist(), mb=peak_mb(), before=before)))
    return None


def in_process(what: str, where) -> dict:
    "What a job costs in a process of its own."
    done = subprocess.run([sys.executable, __file__, '--job', what, str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{what} of {where} failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def growth(o):
    "Memory and time as documents and chart rows grow."
    for n in o.documents:
        said = in_process('mlm', n)
        mb, cpu = said['mb'], said['cpu']
        print(f'  MLM, {n:>9,} documents ({said["store"]:,.1f} MB of tokens): peak MB {mb["before"]:,.0f} before, {mb["tokens"]:,.0f} with tokens, '
              f'{mb["objective"]:,.0f} with the objective, {mb["steps"]:,.0f} after steps; CPU s: tokens {cpu["tokens"]:.2f}, objective '
              f'{cpu["objective"]:.2f}, step {cpu["step"]:.3f}', flush=True)
    from lp_nb.data.hospital import make_hospital
    from lp_nb.data.people import HospitalConfig

    for patients in o.patients:
        with tempfile.TemporaryDirectory(dir=o.scratch) as tmp:
            made = Path(tmp) / 'made'
            make_hospital(made, HospitalConfig(patients=patients, general=0, chart_every=4, other_items=5.25))  # 16 % of rows are of variables
            rows = read_json(made / 'hospital.json')['rows']['icu/chartevents']
            root = repeated(made, Path(tmp) / 'repeated', o.times)
            size = (root / 'icu/chartevents.csv.gz').stat().st_size
            print(f'  cohort, {rows * o.times:,} chart rows ({rows:,} x {o.times}; {size / 1e6:,.0f} MB packed), {patients:,} patients', flush=True)
            costs = {}
            for _ in range(o.repeat):  # in turn
                for what in JOBS:
                    costs.setdefault(what, []).append(in_process(what, root))
            best = {what: min(c, key=lambda x: x['times'][1]) for what, c in costs.items()}
            base = best['isa-l and a bare Polars scan']
            for what, cost in best.items():
                ratio = cost['times'][1] / base['times'][1]
                goal = f'; goal <= 1.3: {"met" if ratio <= 1.3 else "NOT met"}' if what == 'build_cohort' else ''
                line(what, cost['times'], f'{ratio:.2f} of the bare scan, peak {cost["mb"]:,.0f} MB{goal}')


# A training step under the roofline, and a frozen encoder under many heads

def products(shape, tokens: int, dtype) -> dict:
    "The products of a layer at the size of a step, as calls, and the operations of each."
    import torch

    width = shape.width
    a, b, c, d = (torch.ones(*size, dtype=dtype) for size in ((tokens, width), (width, 4 * width), (tokens, 4 * width), (4 * width, width)))
    return {'up': (lambda: a @ b, 8 * tokens * width**2), 'down': (lambda: c @ d, 8 * tokens * width**2)}


def step_flops(trainer, data) -> float:
    "Operations of a step over all documents, as `lp_nb.study.costs` counts them: forward, and twice that backward."
    from lp_nb.study.costs import read_flops, texts, weights_of

    read = texts([[len(c) for c in data.documents[i]] for i in range(len(data.documents))], [], [])
    return 3 * read.train * read_flops(read, weights_of(trainer.objective.towers))


def step(o):
    "A training step of the report encoder against products of the same sizes on this machine."
    import bench_learning as b
    import torch

    from lp_nb.learning.supervised import Supervised
    from lp_nb.learning.training import train_step

    print(f'  {torch.get_num_threads()} threads; bf16 units: {"yes" if b.has_bf16() else "no"}')
    for name in o.shapes:
        shape = b.SHAPES[name]
        data, _ = b.make_data(shape.tokens)
        tokens, rounds = int(data.documents.chunk_offsets[-1]), o.steps if shape.width < 768 else max(1, o.steps // 2)
        for kind, dtype in {'fp32': torch.float32, 'bf16': torch.bfloat16}.items():
            trainer, times = b.kit_trainer(shape, data, Supervised(batch=len(shape.tokens)), precision=kind), {}
            calls, every = products(shape, tokens, dtype), np.arange(len(shape.tokens))
            train_step(trainer, every)
            repeat = max(1, int(2e9 // calls['up'][1]))
            for _ in range(rounds):  # in turn
                for what, (call, _) in calls.items():
                    with clock(times, what):
                        for _ in range(repeat):
                            call()
                with clock(times, 'step'):
                    train_step(trainer, every)
            rate = sum(flops for _, flops in calls.values()) * repeat / sum(least(times[w])[1] for w in calls)
            took, flops = least(times['step']), step_flops(trainer, data)
            line(f'{shape.layers} x {shape.width}, {kind}: {len(shape.tokens)} documents, {tokens:,} tokens, {flops / 1e9:.1f} GFLOP a step', took,
                 f'{flops / took[1] / 1e9:.0f} of {rate / 1e9:.0f} GFLOP/s of products: {flops / took[1] / rate:.0%} of the roofline')


def frozen(o):
    "Ten runs of thirty epochs on one frozen encoder against the paper's own step."
    import bench_learning as b
    import torch
    from paper_step import paper_step, plain_adam

    from lp_nb.learning.supervised import Supervised, bundle
    from lp_nb.learning.training import Trainer, fit

    shape, n = b.SHAPES['small'], len(b.SHAPES['small'].tokens)
    steps = max(2, o.encoded // n) - 1
    data, texts = b.make_data(shape.tokens * (steps + 1), train=steps * n)
    model, times = b.paper_model(shape, data, frozen=True), {}
    optimizer, y = plain_adam(model), torch.from_numpy(data.labels[:n])
    paper_step(model, optimizer, texts[:n], y)

    def ours(kind: str):
        from lp_nb.learning.encoders import build_towers

        stages = [Supervised(train='projection', batch=16, epochs=o.epochs, patience=o.epochs + 1, lr=float(r)) for r in np.geomspace(1e-5, 1e-3, 10)]
        towers = build_towers(shape.encoder(series_hidden=8), data.values.shape[1], seed=0, precision=kind)
        with clock(times, f'{kind}, encoding'):
            objective = bundle(stages, towers, data, 0)
        with clock(times, f'{kind}, heads'), tempfile.TemporaryDirectory() as tmp:
            fit(Trainer(objective, stages[0], seed=0, folder=Path(tmp) / 'run', precision='fp32'))

    for _ in range(o.repeat):  # in turn
        with clock(times, 'paper'):
            paper_step(model, optimizer, texts[:n], y)
        for kind in ('fp32', 'bf16'):
            ours(kind)
    whole = least(times['paper']) * steps * 10 * o.epochs
    print(f'  4 x 256; {(steps + 1) * n} documents, {steps} steps an epoch, {o.epochs} epochs, 10 runs')
    line("the paper's step, frozen, extrapolated from single steps", whole)
    for kind in ('fp32', 'bf16'):
        encoding, heads = (least(times[f'{kind}, {part}']) for part in ('encoding', 'heads'))
        ratio = whole[1] / (encoding + heads)[1]
        line(f'ours, {kind}: one encoding pass and ten stacked heads', encoding + heads, f'{ratio:,.0f}x; goal >= 1,500x: {"met" if ratio >= 1500 else "NOT met"}')
        line('   of which the encoding pass', encoding, f'{whole[1] / encoding[1]:,.0f}x if heads cost nothing')
        line('   of which the heads', heads, f'{whole[1] / heads[1]:,.0f}x if encoding cost nothing')


PARTS = dict(page=page, lab=lab, growth=growth, step=step, frozen=frozen)
SMALL = dict(stays=300, labels=3, rates=2, seeds=1, resamples=40, timed=2, results=63, repeat=1,
             documents=[100], patients=[60], times=1, shapes=['demo'], steps=1, encoded=32, epochs=2)


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
    option('--documents', type=whole, nargs='+', default=[1000, 10_000, 100_000, 1_000_000], help='growth: texts of the language model')
    option('--patients', type=whole, nargs='+', default=[480, 4800], help='growth: of the hospitals whose charts are repeated')
    option('--times', type=whole, default=5, help='growth: how often the rows of a chart are there; 5 makes 6,200 a patient, as MIMIC-IV has')
    option('--shapes', nargs='+', default=['demo', 'small', 'base'], help='step: 2 x 64, 4 x 256, 12 x 768')
    option('--steps', type=int, default=4, help='step: timed steps of each shape (half as many of the largest)')
    option('--encoded', type=whole, default=320, help='frozen: documents')
    option('--epochs', type=int, default=30, help='frozen: epochs of each run')
    option('--scratch', type=Path, help='growth: where the hospitals are put for a while')
    option('--job', nargs=2, help=argparse.SUPPRESS)
    option('--tables', type=Path, help='page: folder that keeps the tables, to compare them with those of another version')
    return parser


def main(words=None):
    "Measure the wanted parts and print them."
    parser = options()
    o = parser.parse_args(words)
    if o.job:
        return job(*o.job)
    if set(o.parts) - PARTS.keys():
        parser.error(f'unknown part among {o.parts}; there are {", ".join(PARTS)}')
    if o.small:
        vars(o).update(SMALL)
    for name in o.parts or PARTS:
        print(f'\n{name}: {PARTS[name].__doc__}', flush=True)
        PARTS[name](o)
    return None


if __name__ == '__main__':
    main()
