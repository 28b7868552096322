"One update of every stage on a device of choice: what `elsewhere.py` tries without a GPU, and `device.py` with one."
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lp_nb.learning.autoencoding import Autoencode
from lp_nb.learning.contrastive import Contrastive, SimCSE
from lp_nb.learning.encoders import (EncoderConfig, build_towers, local_attention, near, pack_chunks, read_by_length, read_packed,
                                     read_padded)
from lp_nb.learning.inputs import LearningData
from lp_nb.learning.lab import Lab
from lp_nb.learning.mlm import MLM
from lp_nb.learning.stage import stay_vectors
from lp_nb.learning.supervised import Supervised, bundle
from lp_nb.learning.tokens import tokenize
from lp_nb.learning.training import Trainer, fit, isolated_random, look, scores, train_step
from lp_nb.measures.geometry import Moments, deviation, manova_of
from lp_nb.measures.readouts import BatchedCKA, measure
from lp_nb.study.cards import load_run, save_run
from lp_nb.study.trajectories import layer_embeddings, stage_towers

from lp_nb.view.widgets.cases import attention, occlusion, word_surprise

TINY = EncoderConfig(width=32, layers=1, heads=2, vocab_size=800, dim=24, series_hidden=24, dropout=0.0)
OTHERS = {'small-bert': replace(TINY, model='small-bert'), 'transformer': replace(TINY, series='transformer'),
          'simcse': replace(TINY, dropout=0.1)}  # by a word in the name of a case
LOOP = dict(batch=13)
TWO = tuple(Supervised(train='projection', reads='both', lr=lr, **LOOP) for lr in (1e-3, 1e-4))
STAGES = {
    'mlm': MLM(**LOOP), 'mlm, whole words': MLM(words='whole', corpus='both', **LOOP), 'mlm, codes': MLM(codes=1.0, **LOOP),
    'mlm, small-bert': MLM(**LOOP), 'mlm, pieces': MLM(micro=3, **LOOP),
    **{f'contrastive, {loss}': Contrastive(loss=loss, **LOOP) for loss in ('infonce', 'supcon', 'soft', 'cosine', 'vicreg')},
    **{f'contrastive, {mask}': Contrastive(mask=mask, **LOOP) for mask in ('patient', 'duplicates')},
    **{f'contrastive, {train}': Contrastive(train=train, **LOOP) for train in ('projection', 'last', 'lora')},
    **{f'contrastive, pool={pool}': Contrastive(pool=pool, **LOOP) for pool in ('cls', 'padded')},
    'contrastive, cached': Contrastive(micro=4, **LOOP), 'contrastive, shuffled': Contrastive(pairing='shuffled', pairs=40, **LOOP),
    'contrastive, series projection': Contrastive(train_series='projection', **LOOP),
    'contrastive, with mlm': Contrastive(mlm=0.5, **LOOP), 'contrastive, with mlm, cached': Contrastive(mlm=0.5, micro=4, **LOOP),
    'contrastive, transformer': Contrastive(**LOOP),
    'simcse': SimCSE(**LOOP), 'simcse, cached': SimCSE(micro=4, **LOOP),
    'autoencode': Autoencode(**LOOP), 'autoencode, pieces': Autoencode(micro=4, **LOOP),
    **{f'supervised, {reads}': Supervised(reads=reads, **LOOP) for reads in ('report', 'series', 'both')},
    'supervised, lstm': Supervised(reads='both', fusion='lstm', labels=0.5, **LOOP),
    'supervised, weighted': Supervised(class_weights=True, head='linear', head_factor=3.0, **LOOP),
    'supervised, lora': Supervised(train='lora', **LOOP), 'supervised, last': Supervised(train='last', **LOOP),
    'supervised, pieces': Supervised(reads='both', micro=4, **LOOP),
    'frozen, projection': Supervised(train='projection', reads='both', **LOOP), 'frozen, head': Supervised(train='head', **LOOP),
    'frozen, noisy': Supervised(train='head', frozen_dropout=True, **LOOP),
    'frozen, logistic': Supervised(train='head', head='logistic', reads='both', **LOOP),
    'bundle': TWO, 'bundle, lstm': tuple(replace(s, fusion='lstm', class_weights=True) for s in TWO),
    'bundle, head': tuple(replace(s, train='head', micro=4) for s in TWO),
}

# those whose arithmetic is also tried in half precision
HALVED = ('mlm, codes', 'contrastive, infonce', 'contrastive, vicreg', 'contrastive, with mlm, cached', 'contrastive, transformer', 'simcse', 'autoencode',
          'supervised, lstm', 'bundle, lstm')

def some_without_documents(data: LearningData) -> LearningData:
    "The same stays, a third of them without a report."
    texts = [text if i % 3 else '' for i, text in enumerate(data.cohort.documents)]
    return replace(data, documents=tokenize(texts, data.tokenizer, TINY.max_tokens))

def encoder_of(case: str) -> EncoderConfig:
    return next((config for word, config in OTHERS.items() if word in case), TINY)

def trainer_of(case: str, data: LearningData, device, precision: str = 'fp32') -> Trainer:
    "A case of `STAGES` with its weights on a device, made as a lab makes it."
    stages = STAGES[case] if isinstance(STAGES[case], tuple) else (STAGES[case],)
    data = some_without_documents(data) if 'lstm' in case else data
    towers = build_towers(encoder_of(case), data.values.shape[1], 0, precision=precision).to(device)
    made = bundle(stages, towers, data, 0) if len(stages) > 1 else stages[0].objective(towers, data, 0)
    return Trainer(made.to(device), stages[0], 0, Path(tempfile.mkdtemp()) / 'run', precision=precision)

def quiet(trainer: Trainer):
    "Dropout off: devices have random numbers of their own."
    for part in trainer.objective.modules():
        if isinstance(part, torch.nn.Dropout):
            part.eval()

def after_step(case: str, data: LearningData, device, precision: str = 'fp32') -> dict:
    "Loss, gradients, new weights, score, vectors and predictions of a case after one update, on the CPU."
    trainer = trainer_of(case, data, device, precision)
    objective, few = trainer.objective, data.positions('val')[:9]
    if case == 'frozen, logistic':
        fit(trainer)
    else:
        objective.train()
        quiet(trainer)
        with isolated_random():
            loss = train_step(trainer, objective.examples[:LOOP['batch']])
    out = {} if case == 'frozen, logistic' else dict(loss=loss.detach().cpu())
    out |= {f'gradient {i}': p.grad.cpu() for i, p in enumerate(trainer.parameters) if p.grad is not None}
    out['weights'] = torch.cat([p.detach().cpu().flatten() for p in objective.parameters()])
    trainer.probe = lambda: stay_vectors(objective, data, few, trainer.stage.embeds)
    out['scored'] = torch.tensor([s[:2] for s in scores(trainer)])
    objective.eval()
    look(trainer, 1)
    out['vectors'] = torch.from_numpy(np.array(trainer.probes[1]))
    one = objective.member(objective.members - 1)
    return out | {f'predictions {k}': torch.from_numpy(p) for k, p in one.predictions().items()}

def apart(a: dict, b: dict) -> tuple[float, str]:
    "The largest difference of two results, as a share of a tensor's length, and of which tensor it is."
    assert a.keys() == b.keys(), sorted(a.keys() ^ b.keys())
    length = {k: float(x.double().norm()) for k, x in b.items()}
    whole = sum(x**2 for k, x in length.items() if 'gradient' in k) ** 0.5  # what is next to nothing is rounding
    floor = {k: 1e-2 * whole if 'gradient' in k else 1e-2 for k in b}
    worst = {k: float((a[k].double() - b[k].double()).norm()) / max(length[k], floor[k]) for k in b}
    name = max(worst, key=worst.get)
    return worst[name], name

# A whole lab, and whoever reads in it

PLANS = ('mlm(epochs=1, corpus=reports) > contrastive(epochs=1, micro=5) > supervised(epochs=1, reads=both, lr=1e-3)',
         'autoencode(epochs=1) > supervised(epochs=1, train=projection)', 'supervised(train=head, head=logistic)')

def in_lab(cohort, folder) -> dict:
    "What labs, their readers and a saved run say on this machine's device, as tensors on the CPU."
    out = {}
    lab = Lab(folder / 'lab', cohort, TINY, probe_stays=16, points=2)
    for number, text in enumerate(PLANS):
        run = lab.run(text)
        out[f'embeddings {number}'] = run.embeddings('test').to_numpy()
        out[f'predictions {number}'] = run.predictions('test').to_numpy()
        out[f'looks {number}'] = run.stages[-1].probes[max(run.stages[-1].probes)].to_numpy()
    first = lab.run(PLANS[0])
    out['layers'] = layer_embeddings(stage_towers(first, 1), lab.data, lab.probe)
    stay = cohort.documents.str.len().idxmax()
    for name, look in dict(occlusion=occlusion, attention=attention, surprise=word_surprise).items():
        out[name] = np.nan_to_num(look(first, stay, 1)['value'].to_numpy())
    out['occlusion of a logit'] = occlusion(first, stay)['value'].to_numpy()
    for number, text in enumerate(PLANS[:2]):
        saved = load_run(save_run(lab.run(text), folder / f'saved {number}'))
        out[f'saved {number}'] = saved.predict(cohort).to_numpy()
    return {k: torch.from_numpy(np.array(x)) for k, x in out.items()}

def in_measures(device) -> dict:
    "Geometry and read-outs of a cloud that lies on a device."
    draw = np.random.default_rng(0)
    y = (draw.random((300, 3)) < 0.4).astype(int)
    h = torch.from_numpy(draw.normal(size=(300, 16)) + y[:, :1]).to(device)
    m = Moments((2, 2, 2)).add(h[:100], torch.from_numpy(y[:100]).to(device)).add(h[100:], y[100:])
    m.merge(Moments((2, 2, 2)).add(h[:50].bfloat16(), y[:50]))
    out = dict(norms=m.norms(), deviation=np.array([*deviation(m.of(1)).values()]), manova=np.array([*manova_of(m).values()]))
    half = (h[:200], y[:200]), (h[200:], y[200:])
    said = measure(*half[1], readouts=True, train=half[0], labels_at=(50,), n_min=10)
    out['measures'] = np.nan_to_num(np.array([*said.values()]), posinf=0)
    out['cka'] = np.array([BatchedCKA().add(h, h**2).value])
    return {k: torch.from_numpy(np.asarray(x, float)) for k, x in out.items()}

def in_attention(device) -> dict:
    "Attention near by, models read one length at a time and padded, on a device."
    q, k, v = (torch.randn(3, 2, 2, 70, 4, generator=torch.Generator().manual_seed(0)).to(device))
    report = build_towers(OTHERS['small-bert'], 3, 0).report.to(device).eval()
    batch = pack_chunks([np.arange(5, 5 + n) for n in (4, 9, 9, 20)]).to(device)
    with torch.no_grad():
        made = dict(near=local_attention(q, k, v, 5), window=near(q, k, v, 40, 0.0, None), by_length=read_by_length(report.lm, batch),
                    packed=read_packed(report.lm, batch), padded=read_padded(report.lm, batch)[0])
    return {name: x.cpu() for name, x in made.items()}
