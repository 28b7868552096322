"The reader that ships, from outside: what it is worth on a hospital that nothing was chosen on, whom it refuses, and what arms share."
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lp_nb.study.baselines import baselines
from lp_nb.data.cohort import build_cohort
from lp_nb.core import UserError, rng
from lp_nb.privacy import mark_synthetic
from lp_nb.view.demo import ENCODER, HEAD, RULES, hospital_named
from lp_nb.measures.evaluation import auroc, macro
from lp_nb.data.hospital import make_hospital
from lp_nb.learning.lab import Lab
from lp_nb.learning.supervised import labelled_positions

ROOT = Path(__file__).parents[1]
FEW = 'load(reader) > supervised(train=head, head=logistic, labels=400)'


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    "Stays of a clear hospital whose seed nothing was chosen on."
    home = tmp_path_factory.mktemp('reader')
    root = make_hospital(home / 'hospital', hospital_named('clear', patients=1500, seed=77))
    return build_cohort(root, task='phenotyping', out=home / 'cohort', **RULES)


@pytest.fixture(scope='module')
def lab(cohort, tmp_path_factory):
    return Lab(tmp_path_factory.mktemp('lab'), cohort, ENCODER, probe_stays=32, points=2)


def on_test(cohort, predictions) -> float:
    "Macro AUROC over the test stays."
    ids = cohort.ids('test')
    return macro(auroc(cohort.stays.loc[ids, cohort.labels].to_numpy(int), predictions.loc[ids, cohort.labels].to_numpy()))[0]


def test_it_reads_more_than_words_on_a_hospital_of_another_seed(cohort, lab):
    "With 400 labels the frozen reader ranks the phenotypes of new patients, and a bag of words, which sees the same labels, does not yet."
    run = lab.run(FEW, seed=0)
    few = np.isin(np.arange(len(cohort.stays)), labelled_positions(lab.data, run.plan.stages[-1]))
    assert few.sum() == 400
    words = on_test(cohort, baselines(cohort, train=few)['report words'])
    reader = on_test(cohort, run.predictions('test'))
    print(f'{len(cohort.stays)} stays; macro AUROC with 400 labels: reader {reader:.3f}, report words {words:.3f}')
    assert reader >= 0.72 and words < 0.70


SENTENCES = (  # nobody's, in the manner of real reports
    'Portable semi-upright chest radiograph was obtained.', 'An endotracheal tube terminates 4.2 cm above the carina.',
    'Right internal jugular Swan-Ganz catheter; median sternotomy wires and mediastinal clips after CABG.',
    'Lung volumes are low, with bibasilar atelectasis and crowding of the bronchovascular structures.',
    'No focal consolidation, pleural effusion or pneumothorax is seen.', 'Dobbhoff tube courses below the diaphragm, beyond the edge of the film.',
    'The cardiomediastinal silhouette is within normal limits.', 'A PICC line ends at the cavoatrial junction, status post thoracentesis.',
    'Hazy opacification of the left hemithorax may reflect layering fluid, aspiration or asymmetric edema.')


@pytest.fixture(scope='module')
def elsewhere(tmp_path_factory):
    "A hospital whose radiologists write otherwise: the sample's tables, other texts."
    home, draw = tmp_path_factory.mktemp('elsewhere'), rng(0, 'sentences')
    for folder in ('hosp', 'icu'):
        (home / folder).symlink_to(ROOT / 'data' / 'sample' / folder)
    (home / 'note').mkdir()
    notes = pl.read_csv(ROOT / 'data' / 'sample' / 'note' / 'radiology.csv.gz', infer_schema=False)
    texts = ['FINDINGS:\n\n' + ' '.join(draw.choice(SENTENCES, 5)) for _ in range(len(notes))]
    notes.with_columns(pl.Series('text', texts)).write_csv(home / 'note' / 'radiology.csv')
    mark_synthetic(home)
    return build_cohort(home, task='mortality', out=home / 'cohort')


def test_it_refuses_reports_that_it_cannot_read(elsewhere, tmp_path):
    "Words that it would have to spell are not read: who loads it there is sent to a model that has read such text."
    with pytest.raises(UserError, match='dmis-lab/biobert') as refused:
        Lab(tmp_path, elsewhere, ENCODER, probe_stays=8, points=2).run(FEW.replace(', labels=400', ''))
    assert 'pieces on average' in str(refused.value)


def test_arms_share_their_start_and_what_was_loaded(cohort, lab):
    "In one folder, by two openings of it: one `init` for arms with and without the reader, one loaded stage, and nothing is computed twice."
    lab.run(FEW, seed=0)
    other = Lab(lab.folder, cohort, ENCODER, probe_stays=32, points=2)
    done = {p: p.stat().st_mtime_ns for p in lab.folder.glob('stages/*/result.json')}
    again, without = other.run(FEW, seed=0), other.run(HEAD.replace('logistic', 'logistic, labels=400'), seed=0)
    assert [s.address for s in again.stages[:1]] == [s.address for s in without.stages[:1]] and len(again.stages) == 3
    after = {p: p.stat().st_mtime_ns for p in lab.folder.glob('stages/*/result.json')}
    assert done.items() <= after.items() and len(after) == len(done) + 1  # the head of the arm that loads nothing
    assert on_test(cohort, without.predictions('test')) < on_test(cohort, again.predictions('test'))
