"""What a GPU makes of the kit: checks and measurements in one go, in at most six minutes, as one table.

    python tests/device.py                          # on a machine with a GPU
    python tests/device.py --device h200 --out device.json
    python tests/device.py --small                  # everything with tiny sizes, also on the CPU, in under a minute

Beside each measurement stands what the cost model says for that device (at 15 to 50 % of its peak). Every part has a budget of
seconds; one that runs out says so, one that fails says why, and the rest goes on.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
os.environ.setdefault('LPNB_QUIET', '1')

from device_steps import STAGES, TINY, after_step, apart, quiet, trainer_of  # noqa: E402
from lp_nb.core import device, rng  # noqa: E402
from lp_nb.data.cohort import Cohort, example_cohort  # noqa: E402
from lp_nb.learning.contrastive import Contrastive  # noqa: E402
from lp_nb.learning.encoders import (EncoderConfig, build_towers, collate_documents, document_tokens, embed, has_bf16,  # noqa: E402
                                     run_attention)
from lp_nb.learning.inputs import LearningData, learning_data  # noqa: E402
from lp_nb.learning.lab import Lab  # noqa: E402
from lp_nb.learning.mlm import MLM  # noqa: E402
from lp_nb.learning.supervised import Supervised  # noqa: E402
from lp_nb.learning.tokens import TokenStore  # noqa: E402
from lp_nb.learning.training import Trainer, isolated_random, train_step  # noqa: E402
from lp_nb.measures.geometry import Moments  # noqa: E402
from lp_nb.study import costs  # noqa: E402

CHUNK = 512  # tokens in a chunk at most
LABELS = 25


@dataclass(frozen=True)
class Sizes:
    "How much of everything."

    shapes: tuple = ((2, 64), (4, 256), (12, 768))  # layers, width
    batch: int = 256  # documents of a timed step
    documents: int = 2048  # of the made-up cohort
    steps: int = 60  # of the two precisions
    matrix: int = 8192
    memory: tuple = (1024, 4, (32, 128))  # documents, chunks of each, values of `micro`
    embedded: int = 100_000
    cloud: tuple = (1_000_000, 768)
    cases: int = 1  # every how many of the stages
    vocabulary: int = 28_996  # BioBERT's
    patience: float = 3.0  # seconds of repeats of what is timed
    plan: str = 'mlm(epochs=2, corpus=reports) > contrastive(epochs=2, micro=5) > supervised(epochs=2, lr=1e-3, reads=both)'


SMALL = Sizes(shapes=((2, 16), (2, 32)), batch=8, documents=64, steps=4, matrix=256, memory=(8, 2, (2, 4)), embedded=200, cloud=(2000, 32),
              cases=9, vocabulary=500, patience=0.2, plan='contrastive(epochs=1, micro=5) > supervised(epochs=1, lr=1e-3)')


# Clocks

class OutOfTime(Exception):
    "A part has used up its seconds."


@contextmanager
def at_most(seconds: float):
    "Raise `OutOfTime` when so many seconds have passed."
    def ring(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def wait(kind: str):
    if kind == 'cuda':
        torch.cuda.synchronize()


def seconds_of(f, kind: str, warm: int = 2, least: int = 3, most: float = 3.0) -> float:
    "Median seconds of a call, after some that warm up; as many calls as `most` seconds hold."
    for _ in range(warm):
        f()
    wait(kind)
    times, began = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - began < most and len(times) < 50:
        start = time.perf_counter()
        f()
        wait(kind)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def row(what: str, value=None, unit: str = '', good: bool | None = None, limit: str = '', said: str = '', note: str = '') -> dict:
    "A line of the table; `good` is None where something is measured and nothing is asked."
    return dict(what=what, value=value, unit=unit, good=good, limit=limit, model=said, note=note)


# A made-up cohort of any size

def words(size: int):
    "A tokeniser with `size` entries, special ones first."
    from tokenizers import AddedToken, Tokenizer, models

    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *(f'w{i}' for i in range(size - 5))])}, unk_token='[UNK]'))
    made.add_special_tokens([AddedToken(w, special=True) for w in special])
    return made


def store_of(lengths: np.ndarray, size: int) -> TokenStore:
    "Random tokens as documents of those lengths, cut into chunks."
    chunks = [[CHUNK] * int(n // CHUNK) + [int(n % CHUNK)] * bool(n % CHUNK) for n in lengths]
    ends = np.cumsum([0, *(c for document in chunks for c in document)])
    return TokenStore(rng(0, 'tokens').integers(5, size, ends[-1]).astype(np.int32), ends, np.cumsum([0, *map(len, chunks)]))


def made_up(n: int, size: int, tokens: int | None = None) -> LearningData:
    "Stays with documents of realistic lengths (or all of `tokens`), 48 hours and 25 labels."
    draw = rng(0, 'made up')
    lengths = np.full(n, tokens) if tokens else draw.lognormal(np.log(300), 0.7, n).clip(24, 2048).astype(int)
    stays = pd.DataFrame(dict(split=np.where(np.arange(n) % 8 < 6, 'train', 'val'), subject_id=np.arange(n)))
    cohort = SimpleNamespace(stays=stays, task='made up', labels=[f'label {k}' for k in range(LABELS)], has_reports=True)
    store = store_of(lengths, size)
    values = draw.normal(size=(48 * n, 76)).astype(np.float32)
    return LearningData(cohort, words(size), store, store, values, np.arange(n + 1) * 48, (draw.random((n, LABELS)) < 0.2).astype(np.float32))


def encoder(shape: tuple, size: int, **changes) -> EncoderConfig:
    layers, width = shape
    return replace(EncoderConfig(width=width, layers=layers, heads=max(width // 64, 1), vocab_size=size, max_tokens=CHUNK), **changes)


# Parts: generators of rows, given (Here)

@dataclass(frozen=True)
class Here:
    "The device, and how much is asked of it."

    kind: str
    sizes: Sizes
    model: costs.Device  # what the cost model reckons with
    rates: dict  # operations a second of a product, by precision: filled by the first part

    best = property(lambda self: 'bf16' if has_bf16(self.kind) else 'fp32')


def rates(here: Here):
    "Operations a second of a large product."
    n = here.sizes.matrix
    for name, dtype in {'fp32': torch.float32, **({'bf16': torch.bfloat16} if here.best == 'bf16' else {})}.items():
        a, b = (torch.randn(n, n, device=here.kind).to(dtype) for _ in range(2))
        here.rates[name] = 2 * n**3 / seconds_of(lambda a=a, b=b: a @ b, here.kind, most=1.0)
        share = f'peak {here.model.peak / 1e12:,.1f} in {here.model.why}'
        yield row(f'product {n} x {n}, {name}', here.rates[name] / 1e12, 'Tflop/s', said=share)


def steps(here: Here):
    "One update of every stage in float32: equal to the CPU's."
    data = learning_data(example_cohort('phenotyping', 60), TINY)
    for case in list(STAGES)[::here.sizes.cases]:
        worst, what = apart(after_step(case, data, here.kind), after_step(case, data, 'cpu'))
        yield row(f'step of {case}', worst, 'apart', worst < 1e-4, '< 1e-4', note=what)


def losses(case: str, data, here: Here, precision: str) -> float:
    "Mean loss of the last quarter of some steps."
    trainer = trainer_of(case, data, here.kind, precision)
    trainer.objective.train()
    quiet(trainer)
    examples, seen = trainer.objective.examples, []
    with isolated_random():
        for k in range(here.sizes.steps):
            seen.append(train_step(trainer, rng(0, 'batch', k).permutation(examples)[:trainer.stage.batch])[0])
    return float(torch.stack(seen)[-max(here.sizes.steps // 4, 1):].mean())


def half(here: Here):
    "bf16 learns what float32 learns."
    data = learning_data(example_cohort('phenotyping', 60), TINY)
    for case in ('mlm', 'contrastive, infonce', 'supervised, both'):
        a, b = (losses(case, data, here, precision) for precision in ('fp32', 'bf16'))
        yield row(f'{case}, loss in bf16 against fp32 after {here.sizes.steps} steps', abs(b / a - 1), 'apart', abs(b / a - 1) < 0.01, '< 0.01',
                  note=f'{a:.4f} and {b:.4f}')


def cached(here: Here):
    "InfoNCE in pieces is InfoNCE of the whole batch."
    data = made_up(here.sizes.documents // 4, here.sizes.vocabulary, 96)
    batch, config = min(here.sizes.batch, len(data.positions('train'))), encoder((2, 64), here.sizes.vocabulary, dropout=0.0)
    found = {}
    for micro in (None, max(batch // 8, 2)):
        stage = Contrastive(batch=batch, micro=micro, clip=0)
        objective = stage.objective(build_towers(config, 76, 0).to(here.kind), data, 0).to(here.kind)
        trainer = Trainer(objective, stage, 0, Path(tempfile.mkdtemp()) / 'run', precision='fp32')
        objective.train()
        with isolated_random():
            loss = train_step(trainer, objective.examples[:batch])
        found[micro] = {'loss': loss.cpu(), **{f'gradient {i}': p.grad.cpu() for i, p in enumerate(trainer.parameters) if p.grad is not None}}
    worst, what = apart(*found.values())
    yield row(f'InfoNCE of {batch} in pieces of {micro}', worst, 'apart', worst < 1e-4, '< 1e-4', note=what)


def files(folder: Path) -> dict:
    "Weights, looks and predictions of every finished stage."
    return {f'{p.parent.name}/{p.stem}/{k}': t for p in sorted(folder.glob('stages/*/*.safetensors')) for k, t in load_file(p).items()}


def child(lab: str, cohort: str, plan: str):
    "Train a plan, saving after each step, until somebody ends it."
    Lab(lab, Cohort.load(cohort), TINY, probe_stays=16, points=2, save_every=0).run(plan)


def resume(here: Here):
    "A run that is killed and asked for again ends with the bytes of one that was not."
    cohort, home = example_cohort('phenotyping', 60), Path(tempfile.mkdtemp())
    train = lambda name: Lab(home / name, cohort, TINY, probe_stays=16, points=2).run(here.sizes.plan)
    code = 'import sys; import device; device.child(*sys.argv[1:])'
    started = subprocess.Popen([sys.executable, '-c', code, str(home / 'killed'), str(cohort.dir), here.sizes.plan], cwd=ROOT / 'tests', stderr=subprocess.PIPE,
                               env=os.environ | dict(PYTHONPATH=f'{ROOT}:{ROOT / "tests"}'))
    try:
        while started.poll() is None and not list(home.glob('killed/unfinished/*/position.json')):
            time.sleep(0.02)
        early = started.poll() is not None
    finally:
        started.send_signal(signal.SIGKILL)
        said = started.communicate()[1].decode()
    if early:
        raise RuntimeError(f'the run ended before it was killed: {said[-200:]}')
    train('killed'), train('whole'), train('again')
    whole = files(home / 'whole')
    for name, what in (('again', 'the same plan twice'), ('killed', 'killed by SIGKILL and resumed')):
        other = files(home / name)
        gap = max(float((other[k].double() - t.double()).abs().max()) for k, t in whole.items())
        loose = sorted({o for p in home.glob(f'{name}/stages/*/result.json') for o in json.loads(p.read_text()).get('not_repeatable', [])})
        yield row(what, gap, 'apart', other.keys() == whole.keys() and (gap == 0 or bool(loose)), '0, or an operator is named', note=', '.join(loose))


def flops_of(stage, data: LearningData, towers, lengths: list) -> float:
    "Operations of an update on documents of these chunks' lengths, as the cost model counts them."
    sizes, weights = costs.read_sizes(data), costs.weights_of(towers)
    read = costs.texts(lengths, [], [])
    sizes = replace(sizes, documents=read, chunks=dict.fromkeys(sizes.chunks, read), series=sizes.series._replace(train=len(lengths)))
    return sum(t.train * one * (1 + times) for t, one, times in costs.passes(stage, sizes, weights))


def speed(here: Here):
    "Documents and tokens a second, and the share of the measured rate of products."
    data = made_up(here.sizes.documents, here.sizes.vocabulary)
    batch = here.sizes.batch
    for shape in here.sizes.shapes:
        for stage in (MLM(batch=batch), Contrastive(batch=batch), Supervised(batch=batch)):
            stage = replace(stage, micro=min(batch, 64)) if shape[1] >= 768 else stage
            towers = build_towers(encoder(shape, here.sizes.vocabulary), 76, 0).to(here.kind)
            objective = stage.objective(towers, data, 0).to(here.kind)
            trainer = Trainer(objective, stage, 0, Path(tempfile.mkdtemp()) / 'run', precision=here.best)
            objective.train()
            index = objective.examples[:batch]
            # words are hidden chunk by chunk, everything else reads whole documents
            lengths = [[len(c) for c in ([objective.chunks[i]] if stage.name == 'mlm' else data.documents[i])] for i in index]
            flops, tokens = flops_of(stage, data, towers, lengths), sum(map(sum, lengths))
            with isolated_random():
                took = seconds_of(lambda t=trainer, i=index: train_step(t, i), here.kind, most=here.sizes.patience)
            name, rate = f'{stage.name}, {shape[0]} x {shape[1]}', here.rates.get(here.best)
            guess = [len(lengths) / max(flops / (share * here.model.peak), costs.LAUNCH) for share in (costs.PEAK_SHARES[0], costs.PEAK_SHARES[-1])]
            yield row(name, len(lengths) / took, 'documents/s', said=f'{guess[0]:,.0f} to {guess[1]:,.0f}')
            yield row(name, tokens / took, 'tokens/s')
            yield row(name, flops / took / rate if rate else None, 'of the product rate', note=here.best)
            del trainer, objective, towers


def memory(here: Here):
    "Memory of one update on a large batch, in pieces."
    n, chunks, cuts = here.sizes.memory
    shape = here.sizes.shapes[-1]
    data = made_up(n * 4 // 3 + 8, here.sizes.vocabulary, chunks * CHUNK)
    for micro in cuts:
        stage = Contrastive(batch=n, micro=micro)
        towers = build_towers(encoder(shape, here.sizes.vocabulary), 76, 0).to(here.kind)
        objective = stage.objective(towers, data, 0).to(here.kind)
        trainer = Trainer(objective, stage, 0, Path(tempfile.mkdtemp()) / 'run', precision=here.best)
        objective.train()
        if here.kind == 'cuda':
            torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        with isolated_random():
            train_step(trainer, objective.examples[:n])
        wait(here.kind)
        took, said = time.perf_counter() - began, costs.memory(stage, costs.read_sizes(data), costs.weights_of(towers))
        used = torch.cuda.max_memory_allocated() / 1e9 if here.kind == 'cuda' else None
        yield row(f'{n} documents x {chunks} chunks, micro={micro}, {shape[0]} x {shape[1]}', used, 'GB', said=f'{said / 1e9:,.2f} GB',
                  note=f'{took:.2f} s' + ('' if used else '; memory is counted on a GPU only'))
        del trainer, objective, towers


# Ways to attend within chunks of unlike length: functions of q, k, v (tokens, heads, d) and lengths, ascending

def by_runs(q, k, v, lengths):
    "The kit's: one call for each run of chunks of equal length."
    length, count = np.unique(lengths, return_counts=True)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return run_attention(None, q, k, v, None, runs=list(zip(count.tolist(), length.tolist())))[0][0]


def by_varlen(q, k, v, lengths):
    "torch.nn.attention.varlen: one call for all."
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)).to(q.device)
    return varlen_attn(q, k, v, ends, ends, int(lengths.max()), int(lengths.max()))


def by_nested(q, k, v, lengths):
    "Nested (jagged) tensors in scaled_dot_product_attention."
    ends = torch.from_numpy(np.cumsum([0, *lengths])).to(q.device)
    q, k, v = (torch.nested.nested_tensor_from_jagged(x, ends, max_seqlen=int(lengths.max())).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).values()


def by_flex(q, k, v, lengths, kept={}):  # noqa: B006
    "Flex attention with a mask of blocks, compiled."
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    whose = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(q.device)
    if 'run' not in kept:
        kept['run'] = torch.compile(flex_attention) if q.is_cuda else flex_attention
        kept['mask'] = create_block_mask(lambda b, h, i, j: whose[i] == whose[j], None, None, len(q), len(q), device=q.device)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return kept['run'](q, k, v, block_mask=kept['mask'])[0].transpose(0, 1)


def attention(here: Here):
    "The kit's grouped calls against what torch offers for chunks of unlike length, forward and backward."
    draw, width = rng(0, 'attention'), here.sizes.shapes[-1][1]
    lengths = np.sort(draw.integers(24, CHUNK + 1, here.sizes.batch))
    dtype = torch.bfloat16 if here.best == 'bf16' and here.kind == 'cuda' else torch.float32
    q, k, v = (torch.randn(int(lengths.sum()), max(width // 64, 1), min(width, 64), device=here.kind, dtype=dtype, requires_grad=True) for _ in range(3))
    truth = by_runs(q, k, v, lengths).detach().float()
    for name, f in dict(runs=by_runs, varlen=by_varlen, nested=by_nested, flex=by_flex).items():
        what = f'{len(lengths)} chunks, attention by {name}'
        try:
            gap = float((f(q, k, v, lengths).detach().float() - truth).abs().max())
            took = seconds_of(lambda f=f: torch.autograd.grad(f(q, k, v, lengths).float().sum(), (q, k, v)), here.kind, most=here.sizes.patience)
            yield row(what, 1e3 * took, 'ms', gap < 0.05, 'the same vectors', note=f'{gap:.0e} apart')
        except OutOfTime:
            raise
        except Exception as e:  # not on this device, or not in this torch
            yield row(what, None, 'ms', note=f'not here: {type(e).__name__}: {str(e).splitlines()[0][:90]}')


def embedding(here: Here):
    "Documents through a tower that does not learn."
    n = here.sizes.embedded
    data = made_up(min(n, 4000), here.sizes.vocabulary)
    sizes = document_tokens(data.documents)
    for shape in here.sizes.shapes:
        towers = build_towers(encoder(shape, here.sizes.vocabulary), 76, 0).to(here.kind).eval()
        per = costs.read_flops(costs.read_sizes(data).documents, costs.weights_of(towers))
        for budget in (4096, 65536):
            part = lambda: embed(towers.report, lambda i: collate_documents(data.documents, i), sizes, here.kind, budget, here.best)
            took = seconds_of(part, here.kind, warm=1, least=1, most=here.sizes.patience / 3) / len(sizes) * n
            guess = [n * per / (share * here.model.peak) for share in costs.PEAK_SHARES]
            yield row(f'{n:,} documents, {shape[0]} x {shape[1]}, {budget:,} tokens at a time', took, 's', said=f'{guess[-1]:,.1f} to {guess[0]:,.1f}',
                      note='' if n == len(sizes) else f'from {len(sizes):,} documents')


def geometry(here: Here):
    "Class moments of a large cloud under 25 labels."
    n, d = here.sizes.cloud
    draw = torch.Generator(here.kind).manual_seed(0)
    y = (torch.rand(n, LABELS, device=here.kind, generator=draw) < 0.3).long()
    m, size = Moments((2,) * LABELS, torch.float32), max(n // 20, 1)
    wait(here.kind)
    began = time.perf_counter()
    for start in range(0, n, size):
        labels = y[start:start + size]
        m.add(torch.randn(len(labels), d, device=here.kind, generator=draw) + labels[:, :1], labels)
    wait(here.kind)
    between = time.perf_counter()
    norms = m.norms()
    flops = 2 * n * d * d * LABELS  # of each labelling all stays once, the largest class by subtraction: at most
    yield row(f'moments of {n:,} x {d}, {LABELS} labels', between - began, 's', said=f'{flops / here.rates["fp32"]:,.2f} s of products' if here.rates else '')
    yield row(f'spectral norms of {len(norms)} covariances', time.perf_counter() - between, 's', bool(np.isfinite(norms).all()), 'finite')


PARTS = dict(rates=15, steps=75, half=40, cached=15, resume=55, speed=60, memory=30, attention=40, embedding=25, geometry=15)  # seconds of each


def run_part(name: str, here: Here, seconds: float) -> list[dict]:
    "The rows of a part, as far as it came."
    began, rows = time.perf_counter(), []
    try:
        with at_most(seconds):
            for r in globals()[name](here):
                rows.append(r)
                show(name, r)
    except OutOfTime:
        rows.append(row('out of time', seconds, 's', note=f'{len(rows)} rows came of it'))
    except Exception as e:  # the rest goes on
        rows.append(row('failed', None, '', False, 'no error', note=f'{type(e).__name__}: {str(e)[:200]}'))
    rows.append(row('took', time.perf_counter() - began, 's'))
    for r in rows[-2:] if rows[-2:][0]['what'] in ('out of time', 'failed') else rows[-1:]:
        show(name, r)
    return [dict(part=name, **r) for r in rows]


def show(part: str, r: dict):
    "A line of the table."
    value = '' if r['value'] is None else f'{r["value"]:,.3g}' if abs(r['value']) < 100 else f'{r["value"]:,.0f}'
    asked = '' if r['good'] is None else f'{r["limit"]}: {"yes" if r["good"] else "NO"}'
    print(f'{part:9} {r["what"][:68]:68} {value:>10} {r["unit"]:20} {asked:34} {r["model"]:28} {r["note"]}'.rstrip(), flush=True)


def machine(kind: str) -> dict:
    out = dict(torch=torch.__version__, kind=kind, bf16=bool(has_bf16(kind)), threads=torch.get_num_threads())
    if kind == 'cuda':
        found = torch.cuda.get_device_properties(0)
        out |= dict(name=found.name, memory=found.total_memory, capability=[found.major, found.minor], cuda=torch.version.cuda,
                    cudnn=torch.backends.cudnn.version())
    return out


def known(name: str | None, kind: str) -> str:
    "The cost model's name of this device: what was said, what the device calls itself, or `here`."
    said = torch.cuda.get_device_name(0).lower().replace(' ', '') if kind == 'cuda' else ''
    return name or next((n for n in costs.DEVICES if n in said), 'here')


def main(arguments=None) -> int:
    "Run all parts, print the table; 1 where something that is asked does not hold."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--small', action='store_true', help='tiny sizes')
    parser.add_argument('--device', help=f'whose numbers the cost model takes: {", ".join(costs.DEVICES)}, here; default: by name')
    parser.add_argument('--seconds', type=float, default=350, help='for all parts together')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), help='parts')
    parser.add_argument('--out', type=Path, help='a file for the rows, as JSON')
    a, kind = parser.parse_args(arguments), device()
    if kind == 'cpu' and not a.small:
        print('No GPU here: tiny sizes, on the CPU.')
    name = known(a.device, kind)
    here = Here(kind, SMALL if a.small or kind == 'cpu' else Sizes(), costs.device_named(name), {})
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    facts, began, rows = machine(kind) | dict(model=name), time.perf_counter(), []
    print(', '.join(f'{k} {v}' for k, v in facts.items()))
    print(f'{"":9} {"":68} {"measured":>10} {"":20} {"asked":34} {"cost model":28}')
    for part, seconds in PARTS.items():
        if part in a.only:
            rows += run_part(part, here, min(seconds, a.seconds - (time.perf_counter() - began)))
        if a.out:
            a.out.write_text(json.dumps(dict(machine=facts, rows=rows), indent=1) + '\n')
    bad = [r for r in rows if r['good'] is False]
    print(f'{len(rows)} rows in {time.perf_counter() - began:.0f} s, {len(bad)} not as asked')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
