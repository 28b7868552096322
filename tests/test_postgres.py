"Trials in a PostgreSQL of its own, on loopback, under another user than root: exact in number, and one clear sentence where the door is closed."
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from test_sweeps import cohort, drive, ended, settings, study_of  # noqa: F401  (cohort: a fixture)

from lp_nb.core import UserError
from lp_nb.study.sweeps import recorded

PLACES = [str(p) for p in sorted(Path('/usr/lib/postgresql').glob('*/bin'), key=lambda p: float(p.parent.name), reverse=True)]
FOUND = [shutil.which('initdb', path=os.pathsep.join([*PLACES, os.environ.get('PATH', '')])), shutil.which('pg_ctl', path=os.pathsep.join([*PLACES, os.environ.get('PATH', '')]))]
needs_server = pytest.mark.skipif(None in FOUND, reason='no PostgreSQL server here (initdb, pg_ctl): apt-get install postgresql')
ARMS = dict(series='supervised(reads=series, epochs=2)')


def as_other(words, **options):
    "Run a program, as the user nobody or postgres where this one is root, which a server refuses to be."
    user = next((name for name in ('postgres', 'nobody') if os.geteuid() == 0 and name in Path('/etc/passwd').read_text()), None)
    group = {} if user is None else dict(user=user, group=subprocess.run(['id', '-gn', user], capture_output=True, text=True, check=True).stdout.strip(), extra_groups=[])
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, cwd='/', **group, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def server():
    "The address of a new cluster with a password; it ends with the tests."
    pytest.importorskip('psycopg', reason="no driver for PostgreSQL here: pip install '.[postgres]'")
    home, word, port = Path(tempfile.mkdtemp()), secrets.token_hex(8), free_port()
    home.chmod(0o777)
    (home / 'word').write_text(word)
    (home / 'word').chmod(0o644)
    as_other([FOUND[0], '-D', str(home / 'data'), '-U', 'lp', '-A', 'scram-sha-256', '--pwfile', str(home / 'word'), '-E', 'UTF8', '--no-sync'])
    control = [FOUND[1], '-D', str(home / 'data'), '-w', '-l', str(home / 'log')]
    as_other([*control, '-t', '240', '-o', f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off", 'start'])
    yield f'postgresql://lp:{word}@127.0.0.1:{port}/postgres', word
    as_other([*control, '-m', 'immediate', 'stop'])
    shutil.rmtree(home)


def told(said, cohort, error):
    "A study on a database, in a lab with these settings: what its driver says."
    return ended(drive(said, error), error)


@needs_server
def test_trials_lie_in_postgresql(cohort, tmp_path, server):  # noqa: F811
    "The tutorial's line, with no driver named: two workers, as many trials as were asked for, no password in the lab."
    import psycopg

    url, word = server
    said = settings(tmp_path / 'lab', cohort, ARMS, runs=4, sampler='tpe', storage=url)
    assert told(said, cohort, tmp_path / 'error') == ''
    assert len(study_of(said).results) == 4
    with psycopg.connect(url) as db:
        assert db.execute("select state, count(*) from trials group by state").fetchall() == [('COMPLETE', 4)]
    assert not [p for p in (tmp_path / 'lab').rglob('*') if p.is_file() and word.encode() in p.read_bytes()]


@needs_server
def test_a_wrong_password_is_told_before_anything_is_recorded(cohort, tmp_path, server):  # noqa: F811
    url, word = server
    said = settings(tmp_path / 'lab', cohort, ARMS, sampler='tpe', storage=url.replace(word, 'letmein'))
    for start in (study_of(said).run, study_of(said).join):
        with pytest.raises(UserError, match='lp:\\*\\*\\*@127.0.0.1.*password authentication failed') as refused:
            start()
        assert 'letmein' not in str(refused.value)
    assert recorded(tmp_path / 'lab') == {}


def test_no_server_and_no_driver_are_told_in_one_sentence(cohort, tmp_path, monkeypatch):  # noqa: F811
    "Nobody listens, or the driver is not installed: the study is not recorded, the password not shown."
    said = settings(tmp_path / 'lab', cohort, ARMS, sampler='tpe', storage=f'postgresql://lp:letmein@127.0.0.1:{free_port()}/trials')
    monkeypatch.setitem(__import__('sys').modules, 'psycopg', None)
    with pytest.raises(UserError, match="a driver for the database of the trials, got none for postgresql\\+psycopg.*lp_nb\\[postgres\\]"):
        study_of(said).run()
    monkeypatch.undo()
    pytest.importorskip('psycopg', reason="no driver for PostgreSQL here: pip install '.[postgres]'")
    with pytest.raises(UserError, match='a database that can be opened and written, .*lp:\\*\\*\\*@127.0.0.1.*refused') as refused:
        study_of(said).run()
    assert 'letmein' not in str(refused.value) and recorded(tmp_path / 'lab') == {}
