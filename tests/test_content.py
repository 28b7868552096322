"Content is not believed: markers beside tables that are not theirs, cohorts and results that were changed after they were written."
import os
import shutil
from pathlib import Path

import edge_tables as E
import numpy as np
import pandas as pd
import pytest

from lp_nb.study.cards import load_run, save_run
from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError, fingerprint, fingerprint_at
from lp_nb.folders import read_json, sealed, write_json
from lp_nb.privacy import open_data
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.data.hospital import make_hospital
from lp_nb.data.people import HospitalConfig
from lp_nb.learning.lab import Lab
from lp_nb.data.tables import open_mimic
from lp_nb.learning.training import Control, Stopped

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'


def ward(folder):
    "Tables of nobody in particular."
    return E.root_of(folder, [E.chart(E.HEART, '80', h, k) for h in range(4) for k in (1, 2)], stays=[E.stay(1), E.stay(2)])


@pytest.mark.parametrize('marker', ['hospital.json', 'demo_subject_id.csv'])
def test_a_copied_marker_opens_nothing(marker, tmp_path):
    root = ward(tmp_path / 'mimic')
    if marker == 'hospital.json':
        shutil.copy(SAMPLE / marker, root)
    else:
        (root / marker).write_text('subject_id\n101\n10002\n')
    made = build_cohort(root, out=tmp_path / 'cohort', missing_report='keep')
    assert not open_data(root) and not made.is_open and made.manifest['release'].startswith('unknown')
    assert made.dir.stat().st_mode & 0o077 == 0


def test_the_demo_is_its_patients(tmp_path):
    "The list names all patients and nobody else."
    root = ward(tmp_path / 'demo')
    (root / 'demo_subject_id.csv').write_text('subject_id\n101\n102\n')
    assert open_data(root) and open_mimic(root).release == 'demo'


@pytest.mark.parametrize('change', ['edited', 'added', 'removed'])
def test_a_hospital_is_what_was_made(change, tmp_path):
    root = make_hospital(tmp_path / 'hospital', HospitalConfig(patients=6, general=4))
    assert open_data(root)
    if change == 'edited':
        path = root / 'hosp' / 'patients.csv.gz'
        size, times = path.stat().st_size, path.stat()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
        assert path.stat().st_size == size
    elif change == 'added':
        (root / 'note' / 'discharge.csv').write_text('note_id,text\n')
    else:
        shutil.rmtree(root / 'note')
    assert open_data(root) == (change == 'removed')


# Cohorts and results

TINY = EncoderConfig(width=16, layers=1, heads=2, vocab_size=300, dim=16, series_hidden=16)
PLAN = 'supervised(reads=series, epochs=1)'


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    return build_cohort(SAMPLE, out=tmp_path_factory.mktemp('content') / 'cohort')


def labels_over(folder):
    stays = pd.read_parquet(folder / 'stays.parquet')
    stays.assign(mortality=1 - stays['mortality']).to_parquet(folder / 'stays.parquet')


def both_sides(folder):
    stays = pd.read_parquet(folder / 'stays.parquet')
    stays.assign(split=np.where(np.arange(len(stays)) % 3, 'train', 'test')).to_parquet(folder / 'stays.parquet')


def reordered(folder):
    values = np.load(folder / 'series' / 'values.npy')
    np.save(folder / 'series' / 'values.npy', values[::-1])


def emptied(folder):
    "A row of NaN, the size and the time of change put back."
    path = folder / 'series' / 'values.npy'
    times = path.stat()
    values = np.load(path)
    values[:48] = np.nan
    np.save(path, values)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def listed_nothing(folder):
    manifest = read_json(folder / 'manifest.json')
    write_json(folder / 'manifest.json', manifest | dict(files={}, content=fingerprint({})))


def relabelled(folder):
    manifest = read_json(folder / 'manifest.json')
    write_json(folder / 'manifest.json', manifest | dict(features=manifest['features'][::-1]))


def unlisted(folder):
    pd.DataFrame(dict(text=[0], finding=['ascites'], polarity=['present'], grade=[''])).to_parquet(folder / 'more.parquet')


@pytest.mark.parametrize('change', [labels_over, both_sides, reordered, emptied, listed_nothing, relabelled, unlisted])
@pytest.mark.parametrize('seen', [False, True])
def test_a_lab_opens_the_cohort_that_was_built(change, seen, cohort, tmp_path):
    "Whether or not this lab has seen it while it was sound."
    shutil.copytree(cohort.dir, tmp_path / 'cohort')
    if seen:
        Lab(tmp_path / 'lab', Cohort.load(tmp_path / 'cohort'), TINY)
    change(tmp_path / 'cohort')
    with pytest.raises(UserError, match='Build the cohort again'):
        Lab(tmp_path / 'lab', Cohort.load(tmp_path / 'cohort'), TINY)
    assert seen == (tmp_path / 'lab').exists()


def test_what_did_not_change_is_not_read_again(cohort, tmp_path, monkeypatch):
    "The second process looks at sizes and times."
    Lab(tmp_path / 'lab', cohort, TINY)
    monkeypatch.setattr('lp_nb.core.file_fingerprint', lambda path: pytest.fail(f'{path} was read'))
    fingerprint_at.cache_clear()
    Lab(tmp_path / 'lab', Cohort.load(cohort.dir), TINY)


def test_results_are_those_that_were_written(cohort, tmp_path):
    run = Lab(tmp_path / 'lab', cohort, TINY).run(PLAN)
    folder = run.stages[-1].dir
    for name, use in {'predictions': run.predictions, 'model': lambda: run.save_encoder(tmp_path / 'encoder'), 'probes': lambda: run.stages[-1].probes}.items():
        path = folder / f'{name}.safetensors'
        sound = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(UserError, match='run the plan again'):
            use()
        path.write_bytes(sound)
        use()
    facts = read_json(folder / 'result.json')
    (folder / 'result.json').chmod(0o644)
    text = (folder / 'result.json').read_text()
    assert facts['sealed'] and '"seed": 0' in text
    for other in (text.replace('"seed": 0', '"seed": 1'), text.replace('"seal"', '"sea1"'), text.replace('"sealed"', '"sealeb"')):
        (folder / 'result.json').write_text(other)
        for use in (run.predictions, lambda: Lab(tmp_path / 'lab', cohort, TINY).run(PLAN).metrics):
            with pytest.raises(UserError, match='run the plan again'):
                use()
    write_json(folder / 'result.json', {k: v for k, v in facts.items() if not k.startswith('seal')})  # as it was before there were seals
    assert len(run.predictions())
    write_json(folder / 'result.json', facts | dict(files={}))
    with pytest.raises(UserError, match='run the plan again'):
        run.predictions()
    write_json(folder / 'result.json', sealed(facts | dict(files={})))
    with pytest.raises(UserError, match='a list of files'):
        run.predictions()
    start = run.stages[0].dir / 'probes.safetensors'
    sound = start.read_bytes()
    for k in (len(sound) - 1, sound.index(b'"made":"') + 9, 9):
        start.write_bytes(sound[:k] + bytes([sound[k] ^ 1]) + sound[k + 1:])
        with pytest.raises(UserError, match='computed again'):
            _ = Lab(tmp_path / 'lab', cohort, TINY).run(PLAN).stages[0].probes
    start.unlink()
    assert len(Lab(tmp_path / 'lab', cohort, TINY).run(PLAN).stages[0].probes) == 1 and start.read_bytes() == sound


def stopped_at(lab, step):
    "The checkpoint of a stage that was asked to stop there."
    control = Control()
    with pytest.raises(Stopped):
        lab.run(SLOW, events=[lambda event, trainer: event == 'step_end' and trainer.at.step == step and control.stop.set()], control=control)
    return next(lab.folder.glob('unfinished/*/position.json')).parent


SLOW = 'supervised(reads=series, epochs=6, patience=6)'


@pytest.mark.parametrize('change', ['model', 'best', 'optimizer', 'probes', 'position', 'torn', 'missing', 'old'])
def test_a_changed_checkpoint_is_said_and_not_gone_on_from(change, cohort, tmp_path, recwarn):
    "One byte, a file that is gone, half a file; a checkpoint of before seals is gone on from."
    folder = stopped_at(Lab(tmp_path / 'lab', cohort, TINY), 3)
    position, seen = folder / 'position.json', []
    facts = read_json(position)
    assert facts['at']['step'] == 3 and set(facts['files']) == {f'{name}.safetensors' for name in ('model', 'best', 'optimizer', 'probes')}
    if change == 'old':
        write_json(position, {k: v for k, v in facts.items() if k not in ('seal', 'sealed', 'files')})
    elif change == 'position':
        position.write_text(position.read_text().replace('"step": 3', '"step": 2'))
    elif change == 'torn':
        position.write_bytes(position.read_bytes()[:40])
    elif change == 'missing':
        (folder / 'optimizer.safetensors').unlink()
    else:
        path = folder / f'{change}.safetensors'
        sound = path.read_bytes()
        path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    again = Lab(tmp_path / 'lab', cohort, TINY).run(SLOW, events=[lambda event, trainer: seen.append(trainer.at.step)])
    assert seen[0] == (3 if change == 'old' else 0)
    assert any('starts anew' in str(w.message) for w in recwarn) == (change != 'old')
    whole = Lab(tmp_path / 'whole', cohort, TINY).run(SLOW)
    assert again.predictions().equals(whole.predictions())


def test_a_saved_model_lists_its_files(cohort, tmp_path):
    folder = save_run(Lab(tmp_path / 'lab', cohort, TINY).run(PLAN), tmp_path / 'model')
    assert load_run(folder)
    for files in ({}, {k: v for k, v in read_json(folder / 'manifest.json')['files'].items() if k != 'towers.safetensors'}):
        write_json(folder / 'manifest.json', dict(files=files))
        with pytest.raises(UserError, match='Get the folder again'):
            load_run(folder)
