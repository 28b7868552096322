"The bench of the exact world: what is trained is not trained again, who works does not matter, and a broken one says so."

import json
import os
import signal
from dataclasses import replace

import pytest

from lp_nb.study.engines import Local
from lp_nb.theory.bench import (
    Bench, Budget, Cell, Part, arm_table, bench_claims, compare_over_seeds, control_cells, core_cells, dry_run, each, evidence_of, frame_of, bench_record, run_bench, sequence,
    tuned, verdict_tables,
)
from lp_nb.core import UserError
from lp_nb.learning.plans import plan
from lp_nb.theory.claims import BrokenBench
from lp_nb.view.theory_figures import bench_figures
from lp_nb.theory.world import Sizes

SIZES = Sizes(train=300, val=120, test=400, general=600)


def tiny(folder, seeds=2, cells=None) -> Bench:
    "Core and controls at a size that trains in seconds; nothing is learned, everything runs."
    b = Budget(1, 1)
    return Bench(folder, (Part('B', core_cells(b, (50,)) | control_cells(b) if cells is None else cells, seeds),), SIZES, 100)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    "A finished tiny bench and its evidence."
    bench = tiny(tmp_path_factory.mktemp('bench') / 'lab')
    run_bench(bench, workers=2)
    return bench, evidence_of(bench, workers=2)


def test_nothing_is_left_and_nothing_is_done_twice(done):
    bench, evidence = done
    assert bench.backlog.left() == []
    assert (dry_run(bench)['results'], dry_run(bench)['arms']) == (0, 0)
    before = {p: p.stat().st_mtime_ns for p in bench.folder.rglob('*.safetensors')}
    run_bench(bench, workers=1)
    again = evidence_of(bench, workers=1)
    assert json.dumps(again, sort_keys=True) == json.dumps(evidence, sort_keys=True)
    assert {p: p.stat().st_mtime_ns for p in bench.folder.rglob('*.safetensors')} == before


def test_who_trains_does_not_matter(done, tmp_path):
    "One process in another folder gives the same numbers as two, stopped half way and taken up again."
    bench, evidence = done
    one = tiny(tmp_path / 'lab', seeds=1)
    half = replace(one, parts=(replace(one.parts[0], cells={k: c for k, c in one.parts[0].cells.items() if k in ('R', 'M')}),))
    run_bench(half, workers=1)
    assert 0 < len(one.backlog.left()) < len(tiny(tmp_path / 'other', seeds=1).backlog.left())
    run_bench(one, workers=1)
    assert json.dumps(evidence_of(one, workers=1)['B'][0]) == json.dumps(evidence['B'][0])


def kills_itself(bench, job):
    "A worker that the machine kills."
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_told_and_what_is_done_is_kept(done):
    bench, _ = done
    with pytest.raises(UserError, match='one that was killed'):
        list(each(bench, kills_itself, bench.jobs[:2], 'testing', Local(2)))
    assert bench.backlog.left() == []


def test_every_claim_is_judged_and_two_seeds_decide_no_order(done):
    _, evidence = done
    table = verdict_tables(evidence, labels=50)
    assert {'T2 raw', "T1' link 1", 'C exact', 'A ceiling', 'supervised pairs compact'} <= set(table['claim'])
    assert set(table[table['kind'] == 'order']['verdict']) == {'undecided'}
    assert (table[table['claim'].isin(["T1' link 1", "T1' link 2", "T1' link 3", 'A ceiling', 'B no-go'])]['verdict'] == 'holds').all()
    missing = {c.name for c in bench_claims(50)} - set(table['claim'])
    assert missing == {'D pairs', 'Cor printed', 'E ceiling', 'E fades', 'E meets'}  # they need cells or labels that this bench has not


def test_a_forged_control_breaks_the_bench(done):
    _, evidence = done
    forged = {'B': {s: e | {'R': e['R'] | dict(permuted_share=0.5)} for s, e in evidence['B'].items()}}
    with pytest.raises(BrokenBench, match='permuted labels'):
        verdict_tables(forged, labels=50)


def test_the_record_holds_what_the_pages_draw(done):
    bench, evidence = done
    kept = json.loads(json.dumps(bench_record(bench, evidence, labels=50)))
    assert kept['settings']['parts'][0]['cells']['MC'] == sequence('MC', Budget(1, 1))
    assert list(frame_of(kept, 'arms', 'B')['arm'])[:4] == ['R', 'M', 'C', 'MC']
    assert set(bench_figures(kept)) == {'verdicts', 'plane', 'curves'}
    assert arm_table(evidence['B']).loc['MC', 'seeds'] == 2


def test_paired_comparison_of_cells(done):
    _, evidence = done
    rows = compare_over_seeds(evidence, (('B', 'MC', 'C', 'layered?'), ('B', 'MM', 'M', 'not there')))
    assert rows[['cell', 'than', 'seeds']].values.tolist() == [['MC', 'C', 2]]
    by_hand = [evidence['B'][s]['MC']['probe_auroc_200'] - evidence['B'][s]['C']['probe_auroc_200'] for s in (0, 1)]
    assert rows['difference'][0] == pytest.approx(sum(by_hand) / 2)


def test_sequences_of_equal_steps():
    "What stands beside a repeated sequence costs as many steps."
    from lp_nb.theory.bench import order_cells

    cells = order_cells(Budget())
    epochs = lambda name: sum(s.epochs for s in plan(cells[name].plan).stages)
    assert epochs('MM') == epochs('M, 2x') and epochs('CC') == epochs('C, 2x') and epochs('MCC') == epochs('MC, 2x')
    assert str(plan(tuned('', 50))).startswith('supervised(') and Cell('', '').labels == ()
