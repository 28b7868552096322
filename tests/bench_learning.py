"""How fast the kit learns: against the training step of the paper's released code, on the same documents and shape.

    python tests/bench_learning.py --shape small --steps 3 --json learning.json
    python tests/bench_learning.py --shape base --steps 3 --only trained frozen
    python tests/bench_learning.py --only loop bundle memory profile

What is compared runs interleaved (A B A B ...) in one process: medians, with the least and the most. Ratios are medians
of CPU time on a CPU and of wall time on a GPU. Goals stand beside what was measured, those too that this machine
cannot meet.
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
os.environ.setdefault('LPNB_QUIET', '1')

from lp_nb.data.cohort import example_cohort  # noqa: E402
from lp_nb.core import rng  # noqa: E402
from lp_nb.learning.encoders import EncoderConfig, build_towers, collate_documents, document_tokens, embed, mixed, tune  # noqa: E402
from lp_nb.learning.tokens import tokenize, train_tokenizer  # noqa: E402
from lp_nb.learning.supervised import Supervised, bundle  # noqa: E402
from lp_nb.learning.inputs import LearningData, epoch_batches
from lp_nb.learning.training import Trainer, fit, train_step  # noqa: E402
from paper_step import LENGTH, PaperClassifier, PaperReports, paper_step, plain_adam  # noqa: E402

RUNS, EPOCHS = 10, 30  # of the frozen comparison
PARTS = ('trained', 'frozen', 'bundle', 'loop', 'memory', 'gpu', 'profile')


@dataclass(frozen=True)
class Shape:
    "A BERT and the documents of one step."

    layers: int
    width: int
    heads: int
    tokens: tuple  # of each document, [CLS] and [SEP] of its chunks included

    def encoder(self, **changes) -> EncoderConfig:
        "The kit's configuration of that shape."
        return replace(EncoderConfig(width=self.width, layers=self.layers, heads=self.heads), **changes)

    def bert(self, vocab: int):
        "The same shape for the paper's code, with BERT's own dropout of 0.1 everywhere."
        from transformers import BertConfig

        return BertConfig(vocab_size=vocab, hidden_size=self.width, num_hidden_layers=self.layers,
                          num_attention_heads=self.heads, intermediate_size=4 * self.width, pad_token_id=0)


SHAPES = dict(
    small=Shape(4, 256, 4, (48, 71, 96, 118, 139, 160, 178, 197, 223, 255, 318,
                            512 + 62, 512 + 131, 512 + 206, 512 + 297, 512 + 490)),
    base=Shape(12, 768, 12, (394, 463, 502, 512 + 340)),
    demo=Shape(2, 64, 4, (128,) * 16),
)


# Documents: reports of the synthetic hospital, cut to a wanted number of tokens

def cut_to(
    texts: list,  # reports
    counts,  # tokens wanted in each document
    tokenizer,
) -> list[str]:
    "Documents of about those many tokens, from the texts in turn."
    stream = '\n'.join(texts)
    ends = np.array([b for _, b in tokenizer.encode(stream, add_special_tokens=False).offsets])
    out, at = [], 0
    for count in counts:
        own = int(count) - 2 * -(-int(count) // LENGTH)  # without the special tokens of its chunks
        if at + own >= len(ends):
            at = 0
        out.append(stream[ends[at]:ends[at + own]])
        at += own
    return out


def make_data(
    counts,  # tokens of each document
    train: int | None = None,  # documents to train on; the rest validates
    labels: int = 1,
) -> tuple[LearningData, list[str]]:
    "Documents with random labels as the kit reads them, and as strings."
    cohort = example_cohort('mortality')
    tokenizer = train_tokenizer(list(cohort.corpus), vocab_size=4000)
    texts = cut_to([t for t in cohort.documents.tolist() if t], counts, tokenizer)
    n = len(texts)
    train = n if train is None else train
    stays = pd.DataFrame(dict(split=['train'] * train + ['val'] * (n - train)))
    fake = SimpleNamespace(stays=stays, task='bench', labels=['label'] * labels, has_reports=True)
    y = (rng(0, 'labels').random((n, labels)) < 0.3).astype(np.float32)
    y[train:train + 1], y[train + 1:train + 2] = 0, 1  # both classes are there to validate on
    values, offsets = np.zeros((n, 1), np.float32), np.arange(n + 1)
    return LearningData(fake, tokenizer, tokenize(texts, tokenizer), tokenize([], tokenizer), values, offsets, y), texts


def scratch() -> Path:
    "A folder for checkpoints, of this process; a finished run leaves nothing there."
    return Path(tempfile.gettempdir()) / f'bench-learning-{os.getpid()}'


def kit_trainer(
    shape: Shape,
    data: LearningData,
    stage: Supervised,
    device: str = 'cpu',
    precision: str | None = 'fp32',
    **encoder,  # changes to the encoder
) -> Trainer:
    "The kit's trainer of a supervised stage, ready for `train_step` or `fit`."
    towers = build_towers(shape.encoder(series_hidden=8, **encoder), data.values.shape[1], seed=0, precision=precision)
    objective = stage.objective(towers.to(device), data, seed=0).to(device)
    trainer = Trainer(objective, stage, seed=0, folder=scratch(), precision=precision)
    objective.train()
    return trainer


def paper_model(shape: Shape, data: LearningData, frozen: bool, device: str = 'cpu') -> PaperClassifier:
    "The paper's model of the same shape and vocabulary."
    torch.manual_seed(0)
    reports = PaperReports(data.tokenizer, shape.bert(4000), frozen)
    return PaperClassifier(reports, data.labels.shape[1]).to(device).train()


# Clocks

def clock(f) -> np.ndarray:
    "Wall and CPU seconds (of this process and its threads) of one call: (2,)."
    cpu, wall = time.process_time(), time.perf_counter()
    f()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def interleaved(
    jobs: dict,  # name -> callable
    rounds: int,
    once: tuple = (),  # names that run in the first round only
) -> dict:
    "Wall and CPU seconds of every call, after one call of each that does not count: name -> (calls, 2)."
    for name, f in jobs.items():
        if name not in once:
            f()
    out = {name: [] for name in jobs}
    for k in range(rounds):
        for name, f in jobs.items():
            if k == 0 or name not in once:
                out[name].append(clock(f))
    return {name: np.array(times) for name, times in out.items()}


def row(part: str, what: str, times: np.ndarray, base: np.ndarray | None = None, goal: float | None = None) -> dict:
    "One line of the report: medians, range, and how many times faster than `base`."
    use = 0 if torch.cuda.is_available() else 1  # wall or CPU time
    wall, cpu = np.median(times, axis=0)
    ratio = None if base is None else float(np.median(base[:, use]) / (wall, cpu)[use])
    return dict(part=part, what=what, n=len(times), wall=float(wall), cpu=float(cpu), least=float(times[:, use].min()),
                most=float(times[:, use].max()), ratio=ratio, goal=goal)


def show(lines: list):
    "Aligned lines of `row`."
    print(f'  {"":58} {"wall s":>9} {"CPU s":>9} {"(least, most)":>20} {"ratio":>8}  goal')
    for r in lines:
        ratio = '' if r['ratio'] is None else f'{r["ratio"]:,.2f}x'
        goal = '' if r['goal'] is None else f'>= {r["goal"]:,g}x: {"met" if r["ratio"] >= r["goal"] else "NOT met"}'
        spread = f'({r["least"]:.3f}, {r["most"]:.3f})'
        print(f'  {r["what"]:58} {r["wall"]:9.3f} {r["cpu"]:9.3f} {spread:>20} {ratio:>8}  {goal}', flush=True)


def header() -> dict:
    "What this machine is, printed and returned."
    names = [line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')] \
        if Path('/proc/cpuinfo').exists() else [platform.processor()]
    bf16 = dict(avx512_bf16=torch.cpu._is_avx512_bf16_supported(), amx=torch.cpu._is_amx_tile_supported())
    if torch.cuda.is_available():
        bf16['cuda'] = torch.cuda.is_bf16_supported(including_emulation=False)
    out = dict(cpu=names[0], cores=os.cpu_count(), torch=torch.__version__, threads=torch.get_num_threads(),
               capability=torch.backends.cpu.get_cpu_capability(), bf16=bf16,
               gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None)
    units = ', '.join(f'{k} {"yes" if v else "no"}' for k, v in bf16.items())
    print(f'{out["cpu"]}, {out["cores"]} cores; torch {out["torch"]}, {out["threads"]} threads, {out["capability"]}; '
          f'bf16 units: {units}; GPU: {out["gpu"] or "none"}', flush=True)
    return out


def has_bf16() -> bool:
    "Whether torch says that this CPU multiplies in bf16."
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


# Parts

@torch.no_grad()
def same_function():
    "The paper's model as it stands here computes what the kit's pool='padded' computes, given the same weights."
    shape = SHAPES['demo']
    data, texts = make_data((60, 700, 1200, 128))
    paper = paper_model(shape, data, frozen=True).reports.eval()
    report = build_towers(shape.encoder(series_hidden=8), 1, seed=0).report.eval()
    states = paper.bert.state_dict().items()
    report.lm.base_model.load_state_dict({k: v for k, v in states if not k.startswith('pooler')})
    report.projection.load_state_dict(paper.project.state_dict())
    tune(report, pool='padded')
    apart = float((paper(texts) - report(collate_documents(data.documents, np.arange(len(texts))))).abs().max())
    assert apart < 1e-4, apart
    print(f"the paper's model and pool=padded with the same weights differ by at most {apart:.0e}", flush=True)


def waste(data: LearningData) -> dict:
    "Tokens that are computed for each token that is there."
    lengths = np.diff(data.documents.chunk_offsets)
    padded = lambda to: float(to * len(lengths) / lengths.sum())
    out = dict(documents=len(data.documents), chunks=len(lengths), tokens=int(lengths.sum()), ours=1.0,
               longest=padded(lengths.max()), paper=padded(LENGTH))
    print(f'  {out["documents"]} documents, {out["chunks"]} chunks, {out["tokens"]:,} tokens; computed per token: '
          f'{out["paper"]:.2f} padded to {LENGTH}, {out["longest"]:.2f} padded to the longest, 1.00 here')
    return out


def trained(shape: Shape, steps: int, bf16: bool = True) -> list:
    "One training step through BERT: the paper's and ours."
    data, texts = make_data(shape.tokens)
    waste(data)
    n, y = len(texts), torch.from_numpy(data.labels)
    model = paper_model(shape, data, frozen=False)
    optimizer = plain_adam(model)
    jobs = {'paper, fp32': lambda: paper_step(model, optimizer, texts, y)}
    variants = {'ours, fp32': ('fp32', 0.0), "ours, fp32, with the paper's dropout in attention": ('fp32', 0.1),
                'ours, bf16': ('bf16', 0.0)}
    for name, (precision, dropout) in variants.items():
        if precision == 'bf16' and not bf16:
            continue
        trainer = kit_trainer(shape, data, Supervised(batch=n), precision=precision, attention_dropout=dropout)
        jobs[name] = lambda t=trainer: train_step(t, np.arange(n))
    times = interleaved(jobs, steps, once=() if has_bf16() else ('ours, bf16',))
    goals = {'ours, fp32': 2.5, 'ours, bf16': 4.0} if shape is SHAPES['small'] else {}
    base = times['paper, fp32']
    lines = [row('trained', k, t, None if k == 'paper, fp32' else base, goals.get(k)) for k, t in times.items()]
    show(lines)
    return lines


def frozen(shape: Shape, steps: int, bf16: bool = True) -> list:
    "One pass of a frozen encoder over the documents."
    data, texts = make_data(shape.tokens)
    paper, positions = paper_model(shape, data, frozen=True), np.arange(len(texts))
    towers = build_towers(shape.encoder(series_hidden=8), 1, seed=0)

    def paper_pass():
        with torch.no_grad():
            paper(texts)

    def our_pass(precision):
        tokens, collate = document_tokens(data.documents), lambda i: collate_documents(data.documents, positions[i])
        return lambda: embed(towers.report.pooled, collate, tokens, precision=precision)

    jobs = {'paper, fp32': paper_pass, 'ours, fp32': our_pass('fp32')}
    if bf16:
        jobs['ours, bf16'] = our_pass('bf16')
    times = interleaved(jobs, steps, once=() if has_bf16() else ('ours, bf16',))
    lines = [row('frozen', k, t, None if k == 'paper, fp32' else times['paper, fp32']) for k, t in times.items()]
    show(lines)
    return lines


def heads(data: LearningData, shape: Shape) -> Trainer:
    "Ten heads on one frozen encoder, the encoding pass included, ready to fit."
    stages = [Supervised(train='projection', batch=16, epochs=EPOCHS, patience=EPOCHS + 1, lr=float(lr))
              for lr in np.geomspace(1e-5, 1e-3, RUNS)]
    towers = build_towers(shape.encoder(series_hidden=8), data.values.shape[1], seed=0, precision='fp32')
    objective = bundle(stages, towers, data, 0)
    return Trainer(objective, stages[0], seed=0, folder=scratch(), precision='fp32')


def bundled(shape: Shape, steps: int, documents: int) -> list:
    "Ten runs of thirty epochs on a frozen encoder: the paper's extrapolated from single steps, ours run in full."
    n = len(shape.tokens)
    documents = max(documents // n, 2) * n
    data, texts = make_data(shape.tokens * (documents // n), train=documents - n)
    model = paper_model(shape, data, frozen=True)
    optimizer, y = plain_adam(model), torch.from_numpy(data.labels[:n])
    paper = interleaved({'step': lambda: paper_step(model, optimizer, texts[:n], y)}, steps)['step']
    made = []
    encoding = clock(lambda: made.append(heads(data, shape)))
    learning = clock(lambda: fit(made[0]))
    per_epoch = (documents - n) // n
    whole = paper * per_epoch * RUNS * EPOCHS
    name = f'paper, {RUNS} x {EPOCHS} epochs x {per_epoch} steps, from {len(paper)}'
    complete, goal = (encoding + learning)[None], 1000.0 if shape is SHAPES['small'] else None
    lines = [row('bundle', 'paper, one step, encoder frozen', paper), row('bundle', f'{name} (extrapolated)', whole),
             row('bundle', f'ours, complete: {documents} documents encoded once, {RUNS} heads', complete, whole, goal),
             row('bundle', 'of which encoding; the ratio if heads cost nothing', encoding[None], whole),
             row('bundle', 'of which learning', learning[None])]
    show(lines)
    epochs = [len(m.history) for m in made[0].records]
    print(f'  epochs that the members learned: {min(epochs)} to {max(epochs)}; validation is counted for ours only')
    return lines


def light(trainer: Trainer):
    "Replace the maths by next to nothing that still gives every weight a gradient: the loop's own cost stands out."
    from lp_nb.learning.stage import Scored

    means = lambda items: sum(p.mean() for p in trainer.parameters)
    trainer.objective.loss = lambda items: (means(items) * len(items), len(items))
    trainer.objective.validate = lambda: [Scored(0.0, 0.0)]


class Bare:
    "The same maths on the same batches as `fit` and nothing else, run and timed between its steps as a callback."

    def __init__(self, twin: Trainer):
        self.twin, self.labels = twin, torch.from_numpy(twin.objective.data.labels)
        self.seconds, self.steps = np.zeros(2), 0
        self.optimizer = torch.optim.Adam(twin.parameters, lr=twin.stage.lr, fused=True)
        self.light = 'loss' in vars(twin.objective)

    def __call__(self, event: str, trainer: Trainer):
        if event == 'step_end':
            self.seconds += clock(lambda: self.step(trainer.at.epoch, trainer.at.batch - 1))
            self.steps += 1
        elif event == 'evaluate':
            self.seconds += clock(self.validate)

    def step(self, epoch: int, batch: int):
        "One update, without seeds, history, pieces, callbacks or clocks."
        objective, parameters = self.twin.objective, self.twin.parameters
        if batch == 0:
            self.batches = epoch_batches(objective.sizes, self.twin.stage.batch, rng(0, 'epoch', epoch))
        index = objective.examples[self.batches[batch]]
        if self.light:
            total, n = objective.loss(index)
            loss = total / n
        else:
            z = objective.head(objective.towers.report(collate_documents(objective.data.documents, index)))
            loss = F.binary_cross_entropy_with_logits(z, self.labels[index])
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, self.twin.stage.clip)
        self.optimizer.step()

    def validate(self):
        "The same validation."
        self.twin.objective.eval()
        with torch.no_grad():
            self.twin.objective.validate()
        self.twin.objective.train()


def duel(data: LearningData, stage: Supervised, runs: int, easy: bool) -> tuple[np.ndarray, np.ndarray, int]:
    "Wall and CPU seconds of `fit` and of the bare loop within it, each (runs, 2), and the steps of a run."
    ours, bare = [], []
    for k in range(runs + 1):
        trainer, twin = (kit_trainer(SHAPES['demo'], data, stage) for _ in range(2))
        if easy:
            light(trainer), light(twin)
        trainer.events = [Bare(twin)]
        both = clock(lambda t=trainer: fit(t))
        if k:  # the first run warms up
            bare.append(trainer.events[0].seconds)
            ours.append(both - bare[-1])
    return np.array(ours), np.array(bare), trainer.events[0].steps


def loop(runs: int) -> list:
    "What our loop costs beyond the maths, at the demo's size: within `fit`, a bare loop takes the same steps in turn."
    documents = 256
    data, _ = make_data(rng(0, 'counts').integers(80, 176, documents), train=documents - 16)
    stage = Supervised(batch=16, epochs=2, lr=1e-4)
    ours, bare, steps = duel(data, stage, runs, easy=False)
    lines = [row('loop', f'bare loop, {steps} steps', bare), row('loop', 'fit', ours)]
    easy, easy_bare, easy_steps = duel(data, replace(stage, epochs=8, patience=9), runs, easy=True)
    lines += [row('loop', f'bare loop, {easy_steps} steps with next to no maths', easy_bare),
              row('loop', 'fit, the same', easy)]
    show(lines)
    fixed = (easy - easy_bare) / easy_steps  # (runs, 2) seconds a step
    both = {'of whole runs': 100 * (ours / bare - 1),
            'from the steps without maths': 100 * fixed / np.median(bare / steps, axis=0)}
    for how, extra in both.items():
        draws = np.median(extra[rng(0, 'bootstrap').integers(runs, size=(2000, runs))], axis=1)  # (draws, 2)
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
        for k, name in enumerate(('wall', 'CPU')):
            middle = float(np.median(extra[:, k]))
            print(f'  overhead {how}, {name}: {middle:+.2f} % (95 % of the median: {low[k]:+.2f} to {high[k]:+.2f}; '
                  f'single runs {extra[:, k].min():+.2f} to {extra[:, k].max():+.2f}); '
                  f'goal < 3 %: {"met" if middle < 3 else "NOT met"}')
            lines.append(dict(part='loop', what=f'overhead {how}, {name}', percent=middle, low=float(low[k]),
                              high=float(high[k]), runs=runs))
    print(f'  a step of the bare loop: {1000 * np.median(bare[:, 1]) / steps:.1f} ms of CPU; what the loop adds: '
          f'{1000 * np.median(fixed[:, 1]):.2f} ms')
    return lines


def peak_mb() -> float:
    "Most resident memory since `forget_peak`, in MB."
    for line in open('/proc/self/status'):
        if line.startswith('VmHWM'):
            return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def forget_peak():
    "Let the peak start again from what is resident now (Linux)."
    Path('/proc/self/clear_refs').write_text('5')


def memory_job(shape: str, micro: int):
    "In a process of its own: one training step on 64 documents of 8 full chunks; prints MB above the model."
    data, _ = make_data([8 * LENGTH] * 64)
    trainer = kit_trainer(SHAPES[shape], data, Supervised(batch=64, micro=micro or None))
    small = replace(trainer.stage, micro=None)
    whole, trainer.stage = trainer.stage, small
    train_step(trainer, np.arange(1))  # optimiser state and libraries are in memory from here on
    trainer.stage = whole
    forget_peak()
    start = peak_mb()
    wall, cpu = clock(lambda: train_step(trainer, np.arange(64)))
    print(json.dumps(dict(start=start, mb=peak_mb() - start, wall=wall, cpu=cpu)))


def memory(shape: str) -> list:
    "Peak memory of one step, for a whole batch at once and for pieces of eight documents."
    lines, size = [], SHAPES[shape]
    print(f'  64 documents x 8 full chunks = {64 * 8 * LENGTH:,} tokens, {size.layers} layers x {size.width}')
    for micro in (0, 8):
        done = subprocess.run([sys.executable, __file__, '--memory-job', shape, str(micro)], capture_output=True,
                              text=True, check=False)
        said = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
        why = (done.stderr.strip().splitlines() or ['killed'])[-1]
        name = f'micro={micro or None}'
        print(f'  {name:12} ' + (f'{said["mb"]:9,.0f} MB above {said["start"]:,.0f} MB, {said["wall"]:.1f} s' if said
                                 else f'ended with {done.returncode}: {why}'), flush=True)
        lines.append(dict(part='memory', what=name, shape=shape, **(said or dict(rc=done.returncode))))
    if all('mb' in line for line in lines):
        print(f'  {lines[0]["mb"] / lines[1]["mb"]:.1f} times less memory in pieces')
    return lines


# On a GPU

def gpu_time(f, repeats: int = 10) -> float:
    "Median seconds of a call on the GPU, by events."
    times = []
    for k in range(repeats + 3):  # three to warm up
        a, b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        a.record()
        f()
        b.record()
        torch.cuda.synchronize()
        times += [a.elapsed_time(b) / 1e3] * (k >= 3)
    return float(np.median(times))


def ceiling(size: int = 8192) -> float:
    "Floating-point operations a second of a large bf16 product, measured."
    a, b = (torch.randn(size, size, device='cuda', dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / gpu_time(lambda: a @ b)


def operations(shape: Shape, lengths: np.ndarray) -> float:
    "Operations of a forward and a backward pass over chunks of those lengths (products only)."
    linear = 2 * 12 * shape.width**2 * lengths.sum()  # 12 width^2 weights in a layer, a product and a sum each
    attention = 4 * shape.width * (lengths.astype(float) ** 2).sum()  # queries by keys, weights by values
    return float(3 * shape.layers * (linear + attention))  # backward: twice the forward


def padded_step(trainer: Trainer, batch, labels: torch.Tensor):
    "One update with every chunk padded to full length and masked; everything else as in the kit's step."
    encoder, lengths = trainer.objective.towers.report, torch.from_numpy(np.asarray(batch.lengths)).to('cuda')
    mask = torch.arange(LENGTH, device='cuda') < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.int64, device='cuda').masked_scatter(mask, batch.ids)
    encoder.lm.set_attn_implementation('sdpa')
    trainer.optimizer.zero_grad(set_to_none=True)
    with mixed('cuda', 'bf16'):
        hidden = encoder.lm.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        chunks = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        total = chunks.new_zeros(batch.n, chunks.shape[1]).index_add_(0, batch.doc, chunks)
        z = trainer.objective.head(encoder.projection(total / torch.bincount(batch.doc, minlength=batch.n)[:, None]))
    F.binary_cross_entropy_with_logits(z.float(), labels).backward()
    nn.utils.clip_grad_norm_(trainer.parameters, trainer.stage.clip)
    trainer.optimizer.step()


def gpu() -> list:
    "Tokens a second of BERT-base in bf16, and the share of the measured ceiling that products of real tokens reach."
    if not torch.cuda.is_available():
        print('  no CUDA device on this machine: not measured')
        return []
    best, lines = ceiling(), []
    print(f'  ceiling: {best / 1e12:.0f} TFLOP/s in a bf16 product of 8192 x 8192')
    shape = Shape(12, 768, 12, SHAPES['small'].tokens * 4)
    for name, counts in (('realistic lengths', shape.tokens), ('full chunks only', (LENGTH,) * 84)):
        data, _ = make_data(counts)
        trainer = kit_trainer(shape, data, Supervised(batch=len(counts)), device='cuda', precision='bf16')
        lengths, everyone = np.diff(data.documents.chunk_offsets), np.arange(len(counts))
        batch, labels = collate_documents(data.documents, everyone).to('cuda'), torch.from_numpy(data.labels).cuda()
        jobs = {'without padding': lambda t=trainer, e=everyone: train_step(t, e),
                'padded to 512': lambda t=trainer, b=batch, y=labels: padded_step(t, b, y)}
        for kind, f in jobs.items():
            seconds = gpu_time(f)
            share = operations(shape, lengths) / seconds / best
            print(f'  {name}, {kind}: {lengths.sum() / seconds:,.0f} tokens/s, {share:.0%} of the ceiling', flush=True)
            speed = float(lengths.sum() / seconds)
            lines.append(dict(part='gpu', what=f'{name}, {kind}', tokens_per_second=speed, share=share))
    return lines


def profile(shape: Shape) -> list:
    "Where the time of our training step goes: by operator, and what is spent outside of operators."
    data, texts = make_data(shape.tokens)
    trainer, everyone = kit_trainer(shape, data, Supervised(batch=len(texts))), np.arange(len(texts))
    train_step(trainer, everyone)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        wall, _ = clock(lambda: train_step(trainer, everyone))
    found = sorted(seen.key_averages(), key=lambda e: -e.self_cpu_time_total)
    within = sum(e.self_cpu_time_total for e in found) / 1e6
    print(f'  one step under the profiler: {wall:.3f} s, {max(wall - within, 0) / wall:.1%} of it outside of operators')
    lines = []
    for e in found[:12]:
        lines.append(dict(part='profile', what=e.key, share=e.self_cpu_time_total / 1e6 / wall, calls=e.count))
        print(f'  {e.key[:58]:58} {lines[-1]["share"]:6.1%} {e.count:6} calls', flush=True)
    return lines


def main():
    "Measure the wanted parts and print them."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option('--shape', choices=('small', 'base', 'demo'), default='small', help='4 layers x 256, 12 x 768 or 2 x 64')
    option('--steps', type=int, default=3, help='timed steps of each variant')
    option('--runs', type=int, default=9, help='runs in which the overhead of the loop is measured')
    option('--documents', type=int, default=320, help='documents of the frozen comparison')
    option('--memory', choices=('demo', 'small'), default='demo', help='shape of the memory part; small: some 40 GB')
    option('--no-bf16', action='store_true', help='leave bf16 out: without units for it, it takes many times as long')
    option('--only', nargs='+', choices=PARTS, default=PARTS, help='parts to measure')
    option('--json', type=Path, help='file to write the numbers to')
    option('--memory-job', nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.memory_job:
        return memory_job(a.memory_job[0], int(a.memory_job[1]))

    shape, bf16, result = SHAPES[a.shape], not a.no_bf16, dict(machine=header(), shape=a.shape, lines=[])
    parts = dict(
        trained=(f'training step, {shape.layers} layers x {shape.width}', lambda: trained(shape, a.steps, bf16)),
        frozen=('one pass of a frozen encoder', lambda: frozen(shape, a.steps, bf16)),
        bundle=(f'frozen encoder, {RUNS} runs x {EPOCHS} epochs', lambda: bundled(shape, a.steps, a.documents)),
        loop=('overhead of the loop, 2 layers x 64', lambda: loop(a.runs)),
        memory=('memory of one training step', lambda: memory(a.memory)),
        gpu=('BERT-base on a GPU', gpu),
        profile=('where our step spends its time', lambda: profile(shape)))
    same_function()
    for name in a.only:
        title, measure = parts[name]
        print(f'\n{title}', flush=True)
        result['lines'] += measure()
    if a.json:
        a.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    return None


if __name__ == '__main__':
    main()
