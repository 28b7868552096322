"A place is asked for again under its lock: what somebody else has finished meanwhile is not overwritten."
import contextlib
import shutil
from pathlib import Path

import pytest

from lp_nb.data import cohort as cohorts
from lp_nb.data import hospital as hospitals
from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError
from lp_nb.privacy import is_synthetic
from lp_nb.view.demo import hospital_at
from lp_nb.data.hospital import make_hospital
from lp_nb.data.people import HospitalConfig

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'
SMALL = HospitalConfig(patients=6, general=4)


def slower(monkeypatch, module, happens):
    "Let something happen while a process waits for its folder."
    lock = module.sole_writer

    @contextlib.contextmanager
    def waits(path):
        happens()
        with lock(path):
            yield

    monkeypatch.setattr(module, 'sole_writer', waits)


@pytest.fixture(scope='module')
def other(tmp_path_factory):
    return build_cohort(SAMPLE, split_seed=9, out=tmp_path_factory.mktemp('taken') / 'other')


@pytest.mark.parametrize('first', [None, 'a cohort'])
def test_two_builds_of_other_rules(first, other, tmp_path, monkeypatch):
    "Whether the folder was new or held a third cohort, the one that came meanwhile stays."
    out = tmp_path / 'cohort'
    if first:
        build_cohort(SAMPLE, split_seed=8, out=out)

    def finish():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(other.dir, out)

    slower(monkeypatch, cohorts, finish)
    with pytest.raises(UserError, match='in the meantime'):
        build_cohort(SAMPLE, out=out)
    assert Cohort.load(out).hash == other.hash
    assert build_cohort(SAMPLE, split_seed=9, out=out).hash == other.hash  # who wanted that one has it


def test_other_files_came_meanwhile(tmp_path, monkeypatch):
    out = tmp_path / 'cohort'
    slower(monkeypatch, cohorts, lambda: (out.mkdir(), (out / 'thesis.tex').touch()))
    with pytest.raises(UserError, match='something else'):
        build_cohort(SAMPLE, out=out)
    assert [p.name for p in out.iterdir()] == ['thesis.tex']


def test_two_hospitals(tmp_path, monkeypatch):
    made = make_hospital(tmp_path / 'made', SMALL)
    root = tmp_path / 'hospital'
    slower(monkeypatch, hospitals, lambda: root.exists() or shutil.copytree(made, root))
    with pytest.raises(UserError, match='another one'):
        hospital_at(root, HospitalConfig(patients=7, general=4), replace=False)
    assert is_synthetic(root) and (root / 'hospital.json').read_bytes() == (made / 'hospital.json').read_bytes()
    when = (root / 'hospital.json').stat().st_mtime_ns
    assert hospital_at(root, SMALL, replace=False) == root and (root / 'hospital.json').stat().st_mtime_ns == when
