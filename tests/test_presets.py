"The presets: the record of how `modern` was tuned cannot go stale, and what it says follows from its own numbers."
import pandas as pd
import pytest

from lp_nb.data.cohort import example_cohort
from lp_nb.core import asset
from lp_nb.folders import read_json
from lp_nb.view.demo import recorded_frame
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.lab import Lab
from lp_nb.learning.plans import PLAN_PRESETS, Plan, plan
from lp_nb.study.table1 import arms_of

RECORD = read_json(asset('presets.json'))
TUNED, TESTED = RECORD['tuned'], RECORD['tested']


def means() -> pd.Series:
    "By candidate, in the order of the record: the mean over tasks and numbers of labels of the validation AUROC."
    scores = recorded_frame(TUNED, 'scores').fillna(dict(labels=0))
    by = scores.groupby(['arm', 'task', 'labels'], sort=False)['auroc'].mean()
    return by.groupby('arm', sort=False).mean()[list(TUNED['candidates'])]


@pytest.mark.parametrize('name', PLAN_PRESETS)
def test_a_preset_parses_and_prints(name):
    assert plan(str(plan(name))) == plan(PLAN_PRESETS[name].plan) == plan(name)


def test_the_record_is_of_the_presets_as_they_are():
    quiet = dict(frozen_dropout=False)  # as the record says of its row
    now = {name: plan(name) for name in PLAN_PRESETS} | {'paper-code': plan('paper-code').using(contrastive=quiet, supervised=quiet)}
    assert plan(TUNED['candidates'][TUNED['chosen']]) == plan('modern')
    assert {name: plan(text) for name, text in TESTED['plans'].items()} == now


def test_the_choice_is_what_the_rule_gives():
    assert means().idxmax() == TUNED['chosen']


def test_nothing_was_tested_where_it_was_tuned():
    assert TUNED['hospital']['seed'] != TESTED['hospital']['seed']
    assert set(recorded_frame(TESTED, 'scores')['preset']) == set(PLAN_PRESETS)


@pytest.mark.parametrize('encoder', [dict(model='reader'), dict(width=32, layers=1, heads=2, vocab_size=800)], ids=['trained', 'from scratch'])
def test_modern_runs_from_end_to_end(encoder, tmp_path):
    lab = Lab(tmp_path / 'lab', example_cohort('mortality'), EncoderConfig(dim=32, series_hidden=32, **encoder), probe_stays=32, points=2)
    short = {stage.name: dict(epochs=1) for stage in plan('modern').stages if stage.learns}
    run = lab.run(plan('modern').using(**short))
    assert run.predictions().notna().all(axis=None) and len(run.stages) == len(plan('modern')) + 1


def test_its_arms_are_the_plan_with_stages_left_out():
    arms = arms_of('modern')
    assert plan('modern') in arms.values()
    assert all(isinstance(whole, Plan) and whole.stages[-1] == plan('modern').stages[-1] for whole in arms.values())
