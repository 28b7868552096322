"Full disks, folders that may only be read, two processes at one lab, labs that were moved, formats of other versions; the real commands."
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import HURRY, contents, temporary

from lp_nb import __version__
from lp_nb.study.cards import load_run
from lp_nb.cli import main
from lp_nb.data.blocks import FORMAT
from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError, file_fingerprint, set_threads
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.lab import Lab, Run
from lp_nb.learning.shelf import folder_gc, folder_tree
from lp_nb.learning.plans import plan as parse
from lp_nb.study.search import Search
from lp_nb.study.sweeps import Study

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'
PLAN = 'supervised(reads=series, epochs=1)'
AT = ('--cohort', 'cohort', '--lab', 'lab')
SWEEP = ('sweep', PLAN, '--runs', '2', '--low', '1e-3', '--high', '1e-2', '--workers', '1')
ENV = os.environ | dict(LPNB_QUIET='1', OMP_NUM_THREADS='1')
set_threads(1)  # what is made here has the bytes of what processes make


def answers(commands) -> list:
    "(status, what was said on both channels) of commands of `lp-nb`, one after another in this process: imports take longer than they."
    said = []
    for words in commands:
        out, status = io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                main(list(map(str, words)))
            except SystemExit as e:
                status = e.code or 0
        said.append([status, out.getvalue()])
    return said


def process(*commands, before=(), cwd=None):
    "A process that prints the answers to commands as JSON; `before` is put before it."
    asked = json.dumps([list(map(str, words)) for words in commands])
    return subprocess.Popen([*before, sys.executable, __file__, asked], cwd=cwd, env=ENV, stdout=subprocess.PIPE, text=True)


def lp_nb(*commands, before=(), cwd=None, status=0) -> list[str]:
    "What commands said: in this process, or in one that `before` is put before."
    if before:
        said = json.loads(process(*commands, before=before, cwd=cwd).communicate(timeout=300)[0])
    else:
        with contextlib.chdir(cwd):
            said = answers(commands)
    assert [one[0] for one in said] == [status] * len(commands), said
    return [one[1] for one in said]


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A cohort, and a lab with a finished sweep; a run, saved."
    home = tmp_path_factory.mktemp('faults')
    build_cohort(SAMPLE, out=home / 'cohort')
    lp_nb((*SWEEP, *AT), ('run', PLAN, *AT), ('save', PLAN, 'model', *AT), cwd=home)
    return home


@pytest.fixture
def copy(home, tmp_path):
    "A copy of it that may be spoilt."
    shutil.copytree(home, tmp_path / 'moved' / 'here')
    return tmp_path / 'moved' / 'here'


# Full disks and folders that may only be read: mounts that only the command sees

def mounting(left: Path, *steps: str) -> list:
    "What to put before a command so that it sees these mounts; the folder `left`, as it was then, is packed beside it."
    if shutil.which('unshare') is None or subprocess.run(['unshare', '-rm', 'true'], capture_output=True, check=False).returncode:
        pytest.skip('nothing may be mounted here')
    return ['unshare', '-rm', 'sh', '-c', ' && '.join((*steps, '"$@"; s=$?; [ ! -d "$0" ] || tar -C "$0" -cf "$0.tar" . ; exit $s')), left]


def on_small_disk(kbytes: int, disk: Path, words: tuple, cwd: Path) -> str:
    "What a command says for which the empty folder `disk` is a disk of that size; what it left there is put there."
    disk.mkdir()
    said = lp_nb(words, before=mounting(disk, f'mount -t tmpfs -o size={kbytes}k none {disk}'), cwd=cwd, status=1)
    subprocess.run(['tar', '-C', disk, '-xf', f'{disk}.tar'], check=True)
    return said[0]


def refusal(said: str) -> str:
    "What a command said behind its warning of few events."
    return said.removeprefix('There are fewer than ten events, or ten others, among the test stays: scores will say little.\n')


def kbytes(folder: Path) -> int:
    "What a folder takes on a tmpfs."
    return sum(-(-p.stat().st_size // 4096) * 4 for p in folder.rglob('*') if p.is_file()) + 4 * sum(1 for p in folder.rglob('*') if p.is_dir())


FILLING = {
    'cohort': (('cohort', '--mimic', SAMPLE, '--out', 'disk/cohort'), 0.3),
    'lab': (('--use', 'hurry.py', 'run', PLAN, '--cohort', 'cohort', '--lab', 'disk/lab'), 0.4),  # in a checkpoint
    'model': (('save', PLAN, 'disk/model', *AT), 0.5),
}


@pytest.mark.parametrize('made', FILLING)
def test_a_full_disk(made, copy):
    "Status 1, one paragraph that names the disk, nothing half written; with room the same command ends in the bytes of one that always had room."
    words, share = FILLING[made]
    (copy / 'hurry.py').write_text(HURRY.replace('save_every=0.1', 'save_every=0'))
    said = refusal(on_small_disk(round(share * kbytes(copy / made)) + 8, copy / 'disk', words, copy))
    assert said.startswith('lp-nb: Expected room on the disk that holds') and str(copy / 'disk') in said.replace('holds disk', f'holds {copy}/disk'), said
    assert said.strip().endswith('Free some space and run again; what was finished is kept.') and said.strip().count('\n') == 0, said
    left = sorted(str(p.relative_to(copy / 'disk')) for p in (copy / 'disk').rglob('*') if p.is_file())
    assert temporary(copy / 'disk') == [] and not [name for name in left if name.endswith(('model.safetensors', 'manifest.json', 'run.json'))], left
    lp_nb([w for w in words if w not in ('--use', 'hurry.py')], cwd=copy)
    there, expected = contents(copy / 'disk' / made), contents(copy / made)
    there = {name: digest for name, digest in there.items() if not name.startswith('cohorts/')}  # when the cohort was last looked at
    assert there == {name: expected[name] for name in there} and (made == 'lab' or there == expected)
    assert made != 'lab' or any(name.endswith('predictions.safetensors') for name in there)


def read_only(folder: Path) -> list:
    "What to put before a command so that it may only read this folder."
    return mounting(folder / 'nothing', f'mount --bind {folder} {folder}', f'mount -o remount,ro,bind {folder}')


READS = f'''
from lp_nb.data.cohort import Cohort
from lp_nb.view.figures import training_curves
from lp_nb.learning.lab import Lab, Run
from lp_nb.learning.plans import plan
run = Run(Lab('lab', Cohort.load('cohort')), plan('{PLAN}'), 0)
print(run.predictions('test').shape, run.embeddings('test').shape, run.stages[0].probes[0].shape, training_curves(run.history))
'''


def test_reading_needs_no_writing(home):
    "Embeddings and figures, tree, finished runs and sweeps from a disk that may only be read; a cohort that is there is opened."
    (home / 'reads.py').write_text(READS)
    commands = ('--use', 'reads.py', 'tree', '--lab', 'lab'), ('run', PLAN, *AT), (*SWEEP, *AT), ('cohort', '--mimic', SAMPLE, '--out', 'cohort')
    tree, run, sweep, cohort = lp_nb(*commands, before=read_only(home), cwd=home)
    assert tree.startswith('(6, 1) (6, 512) (10, 512) Figure') and 'validation score' in tree
    assert 'test AUROC' in run and '2 runs in' in sweep and '36 stays' in cohort


def test_writing_says_where_it_may_not(home):
    "One paragraph that names the file or folder, status 2."
    commands = (('run', 'supervised(reads=series, epochs=2)', *AT), ('cohort', '--mimic', SAMPLE, '--task', 'phenotyping', '--out', 'other'),
                ('save', PLAN, 'second', *AT), ('hospital', 'hospital', '--patients', '5'), ('gc', '--lab', 'lab', '--keep', 'mlm', '--really'))
    for said in map(refusal, lp_nb(*commands, before=read_only(home), cwd=home, status=2)):
        assert said.startswith('lp-nb: Expected') and 'got Read-only file system at ' in said and said.strip().count('\n') == 0, said


# Two processes at one lab

def test_processes_share_a_lab(home, tmp_path):
    "The same plan twice, one that overlaps, and cleaning up, at once: each result is made once, and is what one process alone makes."
    both, alone = tmp_path / 'both', tmp_path / 'alone'
    plans = [PLAN, PLAN, f'{PLAN} > supervised(reads=series, epochs=2)']
    running, stamps = [process(('run', p, '--cohort', 'cohort', '--lab', both), cwd=home) for p in plans], {}
    while any(p.poll() is None for p in running):
        if (both / 'lab.json').exists():
            folder_gc(both, keep=plans, dry_run=False, hours=0)
        for path in both.glob('stages/[!.]*/result.json'):
            assert stamps.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, 'made twice'
        time.sleep(0.05)
    assert [json.loads(p.communicate()[0])[0][0] for p in running] == [0, 0, 0]
    lp_nb(*(('run', p, '--cohort', 'cohort', '--lab', alone) for p in plans[1:]), cwd=home)
    assert len(stamps) == 2 and contents(both) == contents(alone)


# Moved folders

def text_files(folder: Path):
    "Path and text of every file that is text."
    for path in folder.rglob('*'):
        if path.suffix in ('.json', '.md', '.csv', '.txt', '.html'):
            yield path, path.read_text()


def test_what_was_moved_is_whole(home, copy):
    "No path of the old place but in the study's note of where its cohort was; all results are found, nothing is computed again."
    named = [path.name for path, text in text_files(copy) if str(home) in text]
    assert len(named) == 1 and named[0].startswith('study-')
    stamps = {p: p.stat().st_mtime_ns for p in copy.glob('lab/stages/*/*')}
    (home.parent / 'away').mkdir()
    home.rename(home.parent / 'away' / 'home')
    try:
        run, left, sweep = lp_nb(('run', PLAN, *AT), ('sweep', '--lab', 'lab', '--dry-run'), ('sweep', '--lab', 'lab', '--workers', '1'), cwd=copy)
        assert 'test AUROC' in run and '2 of them finished' in left and '2 runs in' in sweep
        assert len(load_run(copy / 'model').predict(Cohort.load(copy / 'cohort'))) == 6
        (copy / 'cohort').rename(copy / 'elsewhere')
        key = next(copy.glob('lab/study-*.json')).stem.removeprefix('study-')
        said = lp_nb(('sweep', '--lab', 'lab', '--dry-run'), cwd=copy, status=2)[0]
        assert f'--study {key} --cohort FOLDER' in said and said.strip().count('\n') == 0, said
        moved = ('sweep', '--lab', 'lab', '--study', key, '--cohort', 'elsewhere', '--dry-run')
        for said in lp_nb(moved, ('sweep', '--lab', 'lab', '--dry-run'), cwd=copy):  # the second time it is remembered
            assert '2 of them finished' in said
    finally:
        (home.parent / 'away' / 'home').rename(home)
    assert {p: p.stat().st_mtime_ns for p in copy.glob('lab/stages/*/*')} == stamps


def test_workers_find_a_cohort_that_was_moved(copy):
    "The driver is told where the cohort lies now; so are its workers."
    (copy / 'cohort').rename(copy / 'elsewhere')
    tiny = EncoderConfig(width=32, layers=1, heads=2, vocab_size=500, dim=32, series_hidden=16)
    study = Study(copy / 'lab', dict(mortality=Cohort.load(copy / 'elsewhere')), dict(a=PLAN, b='supervised(reads=series, epochs=2)'),
                  Search(runs=1), encoder=tiny, probe_stays=16)
    path = copy / 'lab' / f'study-{study.key}.json'
    study.run(workers=1)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | dict(folders=dict(mortality='/nowhere/cohort'))))  # as an earlier version left it, elsewhere
    with pytest.raises(UserError, match='/nowhere/cohort'):
        Study.open(copy / 'lab', study.key)
    study.run(workers=2)
    assert len(Study.open(copy / 'lab', study.key).results) == 2


# Formats of other versions

MARKERS = {'lab': ('lab/lab.json', 2), 'cohort': ('cohort/manifest.json', FORMAT), 'model': ('model/run.json', 1)}
OPENS = {
    'lab': lambda home: Lab(home / 'lab', Cohort.load(home / 'cohort')),
    'cohort': lambda home: Cohort.load(home / 'cohort'),
    'model': lambda home: load_run(home / 'model'),
}


def reformat(home: Path, what: str, **changed):
    "Write into a folder that it is of another format."
    name, _ = MARKERS[what]
    path = home / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    if what == 'model':  # its manifest guards run.json
        manifest = home / 'model' / 'manifest.json'
        files = json.loads(manifest.read_text())['files']
        files['run.json'] = file_fingerprint(path)
        manifest.write_text(json.dumps(dict(files=files)))


@pytest.mark.parametrize('what', MARKERS)
def test_formats(what, copy):
    "An older and a newer one are refused: who wrote it, what this version reads, what to do; nothing is changed."
    OPENS[what](copy)
    name, known = MARKERS[what]
    for found, wrote, todo in ((known + 1, '9.9', 'Install lp_nb 9.9'), (known - 1, '0.0.1', 'version that')):
        reformat(copy, what, format=found, lp_nb=wrote)
        before = contents(copy)
        with pytest.raises(UserError) as e:
            OPENS[what](copy)
        said = str(e.value)
        assert f'format {known}' in said and f'format {found}' in said and f'lp_nb {__version__}' in said and f'lp_nb {wrote}' in said, said
        assert todo in said and 'Nothing in it was changed' in said
        assert contents(copy) == before


def test_a_marker_says_who_wrote_it(home):
    for name, _ in MARKERS.values():
        said = json.loads((home / name).read_text())
        assert said.get('lp_nb', said.get('versions', {}).get('lp_nb')) == __version__, name
    assert folder_tree(home / 'lab') and Run(OPENS['lab'](home), parse(PLAN), 0).metrics


if __name__ == '__main__':
    print(json.dumps(answers(json.loads(sys.argv[1]))))
