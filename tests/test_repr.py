"What is printed by chance: no `repr` of an object of the kit says a stay, a value of one or a word of a report."
import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import traitlets

import lp_nb
from lp_nb.data.cohort import build_cohort
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.lab import Lab
from lp_nb.measures.maps import run_layout
from lp_nb.view.widgets.views import View

IDS = list(range(30000417, 30000421))
TEXT = 'CHEST PAIN, Dr. Quorvane was told'
HOLDS = {  # words of an annotation -> what a field may hold then
    'ndarray': np.array(IDS), 'Tensor': torch.tensor(IDS), 'polars': pl.DataFrame(dict(stay_id=IDS)), 'DataFrame': pd.DataFrame(dict(stay_id=IDS)),
    'list': [*IDS, TEXT], 'dict': {IDS[0]: TEXT}, 'set': set(IDS)}


def classes() -> list:
    "Every class that a module of the kit defines."
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(lp_nb.__path__, 'lp_nb.') if '._' not in m.name]
    return [thing for module in modules for thing in vars(module).values() if inspect.isclass(thing) and thing.__module__ == module.__name__]


def planted(record):
    "A record of this class whose fields hold stays and a report, and how many do."
    made, n = object.__new__(record), 0
    for field in dataclasses.fields(record):
        kind = field.type if isinstance(field.type, str) else getattr(field.type, '__name__', str(field.type))
        held = next((value for word, value in HOLDS.items() if re.search(rf'\b{word}\b', kind)), None)
        object.__setattr__(made, field.name, '' if held is None else held)
        n += held is not None
    return made, n


MADE_UP = ('lp_nb.data.people', 'lp_nb.data.dictation', 'lp_nb.data.oracle')  # how the synthetic hospital is drawn: no stay of a table is in it
RECORDS = [c for c in classes() if dataclasses.is_dataclass(c) and c.__module__ not in MADE_UP and planted(c)[1]]


@pytest.mark.parametrize('record', RECORDS, ids=lambda c: c.__name__)
def test_no_record_prints_what_it_holds(record):
    said = repr(planted(record)[0])
    assert not re.search('300004|CHEST|Quorvane', said) and len(said) < 1000, said


@pytest.mark.parametrize('view', [c for c in classes() if issubclass(c, View)], ids=lambda c: c.__name__)
def test_no_widget_prints_its_traits(view):
    made = view.__new__(view)
    for name, trait in view.class_traits().items():
        if isinstance(trait, (traitlets.List, traitlets.Dict, traitlets.Unicode)):
            made._trait_values[name] = {'List': IDS, 'Dict': {'a': IDS}}.get(type(trait).__name__, TEXT)
    assert not re.search('300004|CHEST|Quorvane', repr(made))


def test_what_a_run_hands_back_prints_no_stay(tmp_path):
    "Walked through from the run and its map, as deep as objects of the kit go."
    cohort = build_cohort(Path(__file__).parents[1] / 'data' / 'sample', out=tmp_path / 'cohort')
    tiny = EncoderConfig(width=16, layers=1, heads=2, vocab_size=300, dim=16, series_hidden=16)
    run = Lab(tmp_path / 'lab', cohort, tiny, probe_stays=16, points=1).run('supervised(reads=series, epochs=1)')
    run.lab.data, run.lab.probe
    known, todo, seen = {str(i) for i in cohort.stays.index} | {str(i) for i in cohort.stays['subject_id']}, [run, run.stages, run_layout(run, method='pca', split='all')], []
    while todo:
        one = todo.pop()
        inside = one if isinstance(one, (list, tuple)) else one.values() if isinstance(one, dict) else vars(one).values() if hasattr(one, '__dict__') else ()
        ours = [x for x in inside if isinstance(x, (list, tuple, dict)) or type(x).__module__.startswith('lp_nb')]
        todo += [x for x in ours if not any(x is old for old in seen)]
        seen += ours
    assert len(seen) > 10
    for one in [run, *seen]:
        if type(one).__module__.startswith('lp_nb') or isinstance(one, list) and one and type(one[0]).__module__.startswith('lp_nb'):
            assert not known & set(re.findall(r'\d+', repr(one))), repr(one)[:200]
