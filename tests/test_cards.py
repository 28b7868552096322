"Cards and model folders: what they say of other cohorts and plans, what they refuse, and that a folder predicts as the lab did."
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard
from safetensors.torch import load_file

from lp_nb.study.cards import (NUMBER, calibration_points, data_card, eval_results, load_run, model_card, phrases_of, refuse_patients, results_table,
                         run_metrics, run_tier, save_run, sharing_tier)
from lp_nb.data.cohort import Cohort, build_cohort, example_cohort, sealed
from lp_nb.core import UserError
from lp_nb.folders import write_json
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.lab import Lab
from lp_nb.learning.unit import from_patients, is_closed
from lp_nb.data.sharing import characteristics, save_table

ROOT = Path(__file__).parents[1]
TINY = EncoderConfig(width=32, layers=1, heads=2, vocab_size=800, dim=32, series_hidden=32)
DEMO = Path(os.environ.get('LPNB_MIMIC_DEMO', Path(__file__).parents[2] / 'shared' / 'data' / 'mimic-iv-demo'))
PLANS = ['supervised(epochs=1)', 'supervised(epochs=1, reads=series)', 'supervised(epochs=1, train=projection)', 'supervised(epochs=1, pool=padded)',
         'supervised(epochs=1, train=head, reads=both)', 'supervised(epochs=1, reads=both, fusion=lstm, head=linear)',
         'supervised(epochs=1, train=last, last=1, pool=cls)', 'supervised(epochs=1, standardize=false)',
         'supervised(train=head, head=logistic, reads=both)', 'supervised(train=head, head=logistic, pool=padded, standardize=false)']


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp('lab'), example_cohort('mortality'), TINY, probe_stays=16, points=1)


@pytest.fixture(scope='module')
def run(lab):
    return lab.run(PLANS[0])


@pytest.fixture(scope='module')
def metrics(run):
    return run_metrics(run, n=50)


@pytest.fixture
def real(tmp_path):
    "The example cohort as if it came from a release."
    shutil.copytree(example_cohort('mortality').dir, tmp_path / 'cohort')
    path = tmp_path / 'cohort' / 'manifest.json'
    write_json(path, sealed(json.loads(path.read_text()) | dict(release='v3.1')))
    return Cohort.load(tmp_path / 'cohort')


@pytest.mark.parametrize('text', PLANS)
def test_a_folder_predicts_as_the_lab_did(lab, text, tmp_path):
    run = lab.run(text)
    saved = load_run(save_run(run, tmp_path / 'model', run_metrics(run, n=5)))
    for split in ('val', 'test'):
        mine, theirs = run.predictions(split), saved.predict(lab.cohort, split)
        assert mine.index.equals(theirs.index) and mine.columns.equals(theirs.columns)
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_adapters_are_merged_before_they_are_saved(lab, tmp_path):
    pytest.importorskip('peft')
    run = lab.run('supervised(epochs=1, train=lora, rank=2)')
    saved = load_run(save_run(run, tmp_path / 'model', run_metrics(run, n=5)))
    np.testing.assert_allclose(run.predictions('test'), saved.predict(lab.cohort), atol=1e-6)


def test_people_may_write_in_the_card_and_in_nothing_else(run, metrics, tmp_path):
    folder = save_run(run, tmp_path / 'model', metrics)
    with open(folder / 'README.md', 'a') as f:
        f.write('Ask us anything.\n')
    assert load_run(folder).card.text.endswith('anything.\n')
    with open(folder / 'run.json', 'a') as f:
        f.write(' ')
    with pytest.raises(UserError, match='this one was changed'):
        load_run(folder)


def test_another_cohort_is_scaled_as_the_training_stays_were(run, metrics, tmp_path):
    "With other means in its own manifest, a cohort gets the same predictions."
    shutil.copytree(run.cohort.dir, tmp_path / 'other')
    path = tmp_path / 'other' / 'manifest.json'
    manifest = json.loads(path.read_text())
    manifest['scale']['mean'] = [m + 1 for m in manifest['scale']['mean']]
    write_json(path, manifest)
    saved = load_run(save_run(run, tmp_path / 'model', metrics))
    np.testing.assert_allclose(saved.predict(Cohort.load(tmp_path / 'other')), run.predictions('test'), atol=1e-6)
    manifest['features'] = manifest['features'][:-1]
    write_json(path, manifest)
    with pytest.raises(UserError, match='32 features'):
        saved.predict(Cohort.load(tmp_path / 'other'))


def test_the_folder_holds_no_stay_and_no_path(run, metrics, tmp_path):
    folder = save_run(run, tmp_path / 'model', metrics)
    names = {'README.md', 'config.json', 'data_card.md', 'manifest.json', 'model.safetensors', 'run.json', 'tokenizer.json', 'tokenizer_config.json',
             'towers.safetensors', 'modules.json', 'sentence_bert_config.json', '1_Pooling/config.json', '2_Dense/config.json', '2_Dense/model.safetensors'}
    assert {p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()} - {'generation_config.json'} == names
    ids = {str(i) for c in ('subject_id', 'hadm_id') for i in run.cohort.stays[c]} | {str(i) for i in run.cohort.stays.index}
    for path in folder.rglob('*'):
        if path.suffix in ('.md', '.json'):
            text = path.read_text()
            assert not ids & set(NUMBER.findall(text)), path.name
            assert str(run.lab.folder) not in text and str(run.cohort.dir) not in text, path.name
    assert not {k for k in load_file(folder / 'towers.safetensors') if k.startswith('towers.report.lm')}


def test_many_labels(tmp_path):
    "A macro row, no events behind it, and every label's own."
    cohort = example_cohort('phenotyping')
    run = Lab(tmp_path / 'lab', cohort, TINY, probe_stays=16, points=1).run('supervised(epochs=1, reads=series)')
    metrics = run_metrics(run, n=20)
    table = results_table(metrics)
    assert table['label'].tolist() == [*cohort.labels, 'macro'] and table['events'].iloc[-1] == ''
    assert len(calibration_points(run)) == len(cohort.labels) + 1
    card = model_card(run, metrics)
    card.save(tmp_path / 'README.md')
    assert ModelCard.load(tmp_path / 'README.md').data.eval_results == eval_results(run, metrics) != []
    assert '25 groups of diagnoses' in card.text and 'coded after discharge' in card.text
    data_card(cohort)


def test_patients_of_whom_something_is_not_known(lab, run, metrics, tmp_path, monkeypatch):
    "No gender, unit or race for some: the cards and the folder are written, and the rest of the table stays."
    stays = lab.cohort.stays
    n = np.arange(len(stays))
    gaps = stays.assign(gender=stays['gender'].where(n >= 15), careunit=stays['careunit'].where(n != 20), race=stays['race'].where(n % 9 > 0))
    before = characteristics(lab.cohort, 'all')
    monkeypatch.setitem(run.cohort.__dict__, 'stays', gaps)
    after = characteristics(run.cohort, 'all')
    assert after.loc[('sex', 'unknown'), 'all'].startswith('15 (') and ('care unit', 'unknown') in after.index
    assert after.loc['year group', 'all'].equals(before.loc['year group', 'all'])
    assert 'unknown' in str(data_card(run.cohort))
    assert 'unknown' in (save_run(run, tmp_path / 'model', metrics) / 'data_card.md').read_text()


def test_a_metric_without_a_value_is_left_out(run, metrics):
    gone = metrics.assign(value=np.nan, low=np.nan, high=np.nan, reason='no events')
    assert model_card(run, gone).data.eval_results is None
    few, no_interval = metrics.assign(events=9), metrics.assign(low=np.nan, high=np.nan, events=10)
    assert model_card(run, few).data.eval_results is None
    assert all(set(e.metric_args) == {'level'} for e in model_card(run, no_interval).data.eval_results)


def test_real_tables_are_credentialed_only(real, tmp_path):
    run = Lab(tmp_path / 'lab', real, TINY, probe_stays=16, points=1).run(PLANS[0])
    card = model_card(run, run_metrics(run, n=5))
    assert sharing_tier(real) == card.data.sharing_tier == 'credentialed only' and card.data.tags[0] == 'sharing-credentialed-only'
    assert 'MIMIC-IV-Note' in card.text and "corpus of the user's own" in card.text and 'only through PhysioNet' in card.text
    about = data_card(real)
    about.save(tmp_path / 'data.md')
    assert DatasetCard.load(tmp_path / 'data.md').data.license == 'other'
    here = Path(__file__).parent / 'never written'  # a checkout that does not ignore it
    with pytest.raises(UserError, match='git ignores'):
        save_run(run, here)
    assert not here.exists()


def test_an_encoder_from_real_notes_stays_so(real, run, metrics, tmp_path):
    "Through its card; a folder without a card counts as the narrowest; neither path is printed."
    from_real = Lab(tmp_path / 'lab', real, TINY, probe_stays=16, points=1).run('contrastive(epochs=1)')
    saved, silent, open_ = save_run(from_real, tmp_path / 'real'), run.save_encoder(tmp_path / 'silent'), save_run(run, tmp_path / 'open', metrics)
    for folder, tier in ((saved, 'credentialed only'), (silent, 'credentialed only'), (open_, 'open')):
        config = EncoderConfig(model=str(folder), dim=32, series_hidden=32)
        after = Lab(tmp_path / f'{folder.name} lab', run.cohort, config, probe_stays=16, points=1).run(PLANS[0])
        assert run_tier(after) == tier
        card = model_card(after, run_metrics(after, n=5))
        assert str(tmp_path) not in str(card) and card.data.base_model is None and 'local folder' in card.text
    assert (load_run(save_run(after, tmp_path / 'again')).predict(run.cohort) - after.predictions('test')).abs().max().max() < 1e-6


def test_a_lab_is_as_closed_as_the_weights_that_it_begins_from(real, run, metrics, tmp_path):
    "An encoder from real notes closes a lab over a synthetic cohort and what it saves; by its card, by its own file, and by a plan that loads it."
    old = os.umask(0o022)
    try:
        from_real = Lab(tmp_path / 'real lab', real, TINY, probe_stays=16, points=1).run('contrastive(epochs=1)')
        saved, silent, open_ = save_run(from_real, tmp_path / 'real'), from_real.save_encoder(tmp_path / 'silent'), save_run(run, tmp_path / 'open', metrics)
        mode = lambda path: path.stat().st_mode & 0o077
        for k, (folder, closed) in enumerate(((saved, True), (silent, True), (open_, False))):
            lab = Lab(tmp_path / f'lab {k}', run.cohort, EncoderConfig(model=str(folder), dim=32, series_hidden=32), probe_stays=16, points=1)
            again = lab.run('contrastive(epochs=1)').save_encoder(tmp_path / f'again {k}')
            assert [mode(lab.folder) == 0, mode(again) == 0, from_patients(again)] == [closed] * 3
            assert is_closed(lab) == closed
            shape = shutil.copytree(folder, tmp_path / f'shape {k}', ignore=shutil.ignore_patterns('*.md', 'run.json', 'sharing.json'))  # says nothing
            shape.chmod(0o755)
            shaped = Lab(tmp_path / f'shaped {k}', run.cohort, EncoderConfig(architecture=str(shape), dim=32, series_hidden=32), probe_stays=16, points=1)
            assert mode(shaped.folder)
            shaped.run(f'load({folder}) > supervised(train=head, head=logistic)')
            assert (mode(shaped.folder) == 0) == closed
    finally:
        os.umask(old)


def test_weights_that_a_plan_loads_are_named(real, run, metrics, tmp_path, monkeypatch):
    "By their name on the hub with their licence; from a folder by its tier, the folder of the tokeniser alone too; never by a path."
    hub = save_run(run, tmp_path / 'hub', metrics, license='apache-2.0')
    monkeypatch.setattr('huggingface_hub.snapshot_download', lambda name, **more: str(hub) if name == 'somebody/reader' else None)
    notes = save_run(Lab(tmp_path / 'lab', real, TINY, probe_stays=16, points=1).run('contrastive(epochs=1)'), tmp_path / 'real')
    head = 'supervised(train=head, head=logistic)'
    for name, (model, text, base, tier) in dict(
            named=('somebody/reader', f'load(somebody/reader) > {head}', 'somebody/reader', 'open'), folder=(hub, f'load({hub}) > {head}', None, 'open'),
            notes=(notes, f'load({notes}) > {head}', None, 'credentialed only'), shaped=(notes, head, None, 'credentialed only')).items():
        shaped = EncoderConfig(architecture=str(model), dim=32, series_hidden=32)
        after = Lab(tmp_path / name, run.cohort, shaped, probe_stays=16, points=1).run(text)
        saved = load_run(save_run(after, tmp_path / f'{name} model', run_metrics(after, n=5)))
        assert (saved.card.data.base_model, saved.card.data.sharing_tier, run_tier(after)) == (base, tier, tier)
        said = {p.name: p.read_text() for p in saved.folder.rglob('*') if p.suffix in ('.md', '.json')}
        assert [n for n, t in said.items() if str(tmp_path) in t] == []
        assert ('`somebody/reader` (licence apache-2.0 by its card)' in said['README.md']) == (base is not None)
        assert ('took the weights of' in said['README.md']) == ('load' in text)
        np.testing.assert_allclose(saved.predict(run.cohort), after.predictions('test'), atol=1e-6)


@pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
def test_the_demo_is_open_with_attribution(tmp_path):
    cohort = build_cohort(DEMO, task='mortality', preset='medfuse', out=tmp_path / 'cohort')
    card = data_card(cohort)
    assert card.data.license == 'odbl' and card.data.sharing_tier == 'open, ODbL' and 'Clinical Database Demo' in card.text
    assert 'None: the cohort was built without notes.' in card.text


@pytest.mark.parametrize('field', ['uses', 'reason', 'license'])
def test_planted_identifiers_and_words_are_refused(run, metrics, field):
    cohort = run.cohort
    text = next(t for t in cohort.reports['text'] if len(t.split()) > 40)
    words = text.split()
    plants = [f'{cohort.stays.index[3]}', f'patient {cohort.stays["subject_id"].iloc[3]}.', f'hadm={cohort.stays["hadm_id"].iloc[3]},',
              'somebody else: ' + str(2 * 10**7 + 1), ' '.join(words[12:24]), '\n'.join(words[20:32]).lower()]
    for planted in plants:
        with pytest.raises(UserError, match='a model card without') as e:
            model_card(run, metrics, **(dict(tier='credentialed only', reason='x') | {field: planted}))
        assert planted not in str(e.value)


def test_every_report_is_recognised(run):
    "Any stretch of twelve words of any report is refused, however it is set."
    texts = run.cohort.reports['text'].sample(20, random_state=0)
    for text in texts:
        words = text.split()
        stretch = words[len(words) // 2:][:12] if len(words) > 24 else words
        if phrases_of(' '.join(stretch)):
            with pytest.raises(UserError, match='words of a report'):
                refuse_patients('> ' + ' ** '.join(stretch), run.cohort, 'this')


def test_killed_or_refused_leaves_nothing(run, metrics, tmp_path, monkeypatch):
    monkeypatch.setattr('lp_nb.study.cards.other_weights', lambda run: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_run(run, tmp_path / 'model', metrics)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.txt').write_text('mine')
    with pytest.raises(UserError, match='holds something'):
        save_run(run, tmp_path / 'full', metrics)


def test_nothing_asks_the_network(run, metrics, tmp_path, monkeypatch):
    import socket

    def refused(*args, **more):
        raise AssertionError('a connection was opened')

    monkeypatch.setattr(socket.socket, 'connect', refused)
    monkeypatch.setattr(socket, 'getaddrinfo', refused)
    assert len(load_run(save_run(run, tmp_path / 'model', metrics)).predict(run.cohort)) == len(run.cohort.ids('test'))
    assert isinstance(load_run(tmp_path / 'model').card, ModelCard) and torch.is_grad_enabled()
    assert isinstance(metrics, pd.DataFrame)


def test_names_of_others_are_no_orders(tmp_path, monkeypatch):
    "Html, pictures, control characters and macros in the name of a unit: in a card, a table and an error they are letters."
    name = '\x1b[2J<img src=http://a/b> ![p](http://a/b) \\input{x_y} $z$ ~^'
    cohort = build_cohort(ROOT / 'data' / 'sample', out=tmp_path / 'cohort')
    monkeypatch.setitem(cohort.__dict__, 'stays', cohort.stays.assign(careunit=name))
    card = str(data_card(cohort))
    assert '\x1b' not in card and '<img' not in card and '](' not in card and 'src=http://a/b' in card
    save_table(characteristics(cohort, 'all').reset_index(), tmp_path / 'who.tex')
    tex = (tmp_path / 'who.tex').read_text()
    assert r'\textbackslash{}input\{x\_y\} \$z\$ \textasciitilde{}\textasciicircum{}' in tex and '\x1b' not in tex
    assert '\x1b' not in str(UserError('a unit', repr(name) + name, 'x'))
