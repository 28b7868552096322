"""One update of every stage, and a whole plan, on as many processes as `torchrun` starts; process 0 writes the gradients.

    torchrun --standalone --nproc-per-node 2 tests/steps.py COHORT OUT
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lp_nb.learning.autoencoding import Autoencode
from lp_nb.learning import encoders
from lp_nb.data.cohort import Cohort
from lp_nb.learning.contrastive import Contrastive
from lp_nb.learning.encoders import EncoderConfig, build_towers
from lp_nb.learning.lab import Lab
from lp_nb.learning.mlm import MLM
from lp_nb.learning.processes import join_processes, rank
from lp_nb.learning.tokens import tokenize
from lp_nb.learning.supervised import FUSIONS, Supervised, bundle
from lp_nb.learning.inputs import learning_data
from lp_nb.learning.training import Trainer, isolated_random, train_step

ENCODER = EncoderConfig(width=32, layers=2, vocab_size=800, dim=24, series_hidden=24, dropout=0.0)
PLAN = 'mlm(epochs=1, corpus=reports) > contrastive(epochs=1) > supervised(epochs=1, lr=1e-3, reads=both)'
LOOP = dict(batch=13, clip=0)  # an odd batch: the shares of two processes differ
STAGES = {
    'mlm, whole words': MLM(words='whole', **LOOP),
    'contrastive, masked': Contrastive(mask='duplicates', **LOOP),
    'contrastive, adapters': Contrastive(train='lora', **LOOP),
    'supcon': Contrastive(loss='supcon', **LOOP),
    'cosine': Contrastive(loss='cosine', **LOOP),
    'vicreg': Contrastive(loss='vicreg', **LOOP),
    'joint': Contrastive(mlm=0.5, **LOOP),
    'autoencode': Autoencode(**LOOP),
    'supervised, both': Supervised(reads='both', class_weights=True, **LOOP),
    'supervised, fused': Supervised(reads='both', fusion='lstm', labels=0.5, draw=1, **LOOP),
}


def without_some_documents(data):
    "The same stays, a third of them without a report."
    texts = [text if i % 3 else '' for i, text in enumerate(data.cohort.documents)]
    return replace(data, documents=tokenize(texts, data.tokenizer, ENCODER.max_tokens))


def gradients(objective, stage) -> dict:
    "Loss and gradients of the first update, by the name of the weight."
    trainer = Trainer(objective, stage, 0, Path(tempfile.mkdtemp()) / 'run')
    objective.train()
    with isolated_random():
        loss = train_step(trainer, objective.examples[:stage.batch])
    found = {f'{i}': p.grad.clone() for i, p in enumerate(trainer.parameters) if p.grad is not None}
    return {'loss': loss.detach(), **found}


def main(cohort: str, out: str):
    join_processes()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # what is compared are formulas, not rounding
    data = learning_data(Cohort.load(cohort), ENCODER)
    data = replace(data, values=data.values.astype(np.float64))
    sparse = without_some_documents(data)
    towers = lambda: build_towers(ENCODER, data.values.shape[1], 0)
    made = {}
    for micro in (None, 3):
        for name, stage in STAGES.items():
            stage = replace(stage, micro=micro)
            made[f'{name}, micro {micro}'] = gradients(stage.objective(towers(), sparse if 'fused' in name else data, 0), stage)
        for fusion in FUSIONS:
            members = [Supervised(train='projection', reads='both', fusion=fusion, lr=lr, micro=micro, **LOOP) for lr in (1e-3, 1e-4)]
            made[f'bundle, {fusion}, micro {micro}'] = gradients(bundle(members, towers(), sparse, 0), members[0])
    if rank() == 0:
        save_file({f'{name}/{key}': t.contiguous() for name, grads in made.items() for key, t in grads.items()}, out)
    torch.set_default_dtype(torch.float32)
    encoders.has_bf16 = lambda kind: False  # the order of a sum must not be seen in three digits
    Lab(out + '.lab', Cohort.load(cohort), ENCODER, probe_stays=16, points=2).run(PLAN)


if __name__ == '__main__':
    main(*sys.argv[1:])
