"A Ray cluster of two nodes as the engine of a study: one is killed in the middle of a unit, and nothing is lost; folders that no node sees; units of two processes."
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_sweeps import ARMS, cohort, contents, holders, settings, study_of  # noqa: F401  (cohort: a fixture)

ray = pytest.importorskip('ray', reason="no Ray here: pip install '.[ray]', or `make cluster`")

from lp_nb.core import Failed, UserError  # noqa: E402
from lp_nb.study import cluster as clusters  # noqa: E402
from lp_nb.study.cluster import RayCluster  # noqa: E402
from lp_nb.study.work import failures  # noqa: E402


@pytest.fixture(scope='module')
def nodes():
    "A cluster of a head that computes nothing and two nodes of one core each; this process is its driver."
    from ray.cluster_utils import Cluster

    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0))
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False, logging_level='ERROR', namespace='lp_nb')
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope='module')
def quiet(cohort, tmp_path_factory):  # noqa: F811
    "What the study leaves in a lab when one process of this machine computes it."
    said = settings(tmp_path_factory.mktemp('quiet') / 'lab', cohort, workers=1)
    study_of(said).run(workers=1)
    return contents(said['folder'])


def differing(folder, expected):
    "Names of results that are not byte for byte what they should be, or are there on one side only."
    there = contents(folder)
    return [name for name in there.keys() | expected.keys() if there.get(name) != expected.get(name)]


def parent(pid):
    "The process that started a process."
    return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])


def cores(cluster):
    "How many cores the living nodes have."
    return sum(n['Resources'].get('CPU', 0) for n in ray.nodes() if n['Alive'])


def test_a_study_whose_folder_no_node_sees(nodes, cohort, quiet, tmp_path):  # noqa: F811
    "Cohort and results travel; what is in the lab at the end is what one process would have left there."
    said = settings(tmp_path / 'lab', cohort)
    study_of(said).run(engine=RayCluster(shared=False))
    assert differing(said['folder'], quiet) == []
    assert not [p for p in (tmp_path / 'lab').glob('.home-*')]


def test_a_unit_of_two_processes(nodes, cohort, quiet, tmp_path):  # noqa: F811
    "Two processes on two nodes take one batch together: it learns what one process would, but for the draws of dropout."
    assert RayCluster(processes=2).count(8) == 1
    arms = dict(words='mlm(epochs=3)')
    said = settings(tmp_path / 'lab', cohort, arms, runs=1)
    alone = settings(tmp_path / 'alone', cohort, arms, runs=1)
    study_of(said).run(engine=RayCluster(processes=2))
    study_of(alone).run(workers=1)
    assert not failures(study_of(said).backlog).size
    losses = {name: [pd.read_parquet(p)['loss'].to_numpy() for p in sorted((tmp_path / name).glob('stages/*/history.parquet'))]
              for name in ('alone', 'lab')}
    assert len(losses['lab']) == 1
    for one, other in zip(*losses.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.01)


def test_what_fails_is_told_and_stops_nothing_else(nodes, cohort, tmp_path):  # noqa: F811
    "One arm diverges on its node: the command ends with its reason, and the rest is finished."
    arms = dict(series=ARMS['series'], diverging='mlm(epochs=2, lr=1e30, clip=0) > supervised(epochs=1)')
    study = study_of(settings(tmp_path / 'lab', cohort, arms))
    with pytest.raises(Failed, match='finite loss'):
        study.run(engine='ray')
    assert list(study.results['arm']) == ['series'] * 2


def test_what_may_not_travel_does_not(nodes, cohort, tmp_path, monkeypatch):  # noqa: F811
    "Credentialed data goes to no node that does not see its folder, unless somebody says so."
    study = study_of(settings(tmp_path / 'lab', cohort, dict(series=ARMS['series'])))
    monkeypatch.setattr(clusters, 'is_closed', lambda lab, *plans: True)
    monkeypatch.setattr(clusters, 'look_at_nodes', lambda ray, folder: False)
    with pytest.raises(UserError, match='credentialed data.*shared=False'):
        study.run(engine='ray')


def test_no_node_of_another_version(nodes, tmp_path, monkeypatch):
    "Another version of the kit would leave other results under the same addresses."
    monkeypatch.setattr(clusters, '__version__', '9.9')
    with pytest.raises(UserError, match=r'lp_nb 9\.9 on every node'):
        clusters.look_at_nodes(ray, tmp_path)


def test_each_goes_to_the_nodes(nodes):
    assert dict(RayCluster().each(abs, [-1, -2, -3])) == {-1: 1, -2: 2, -3: 3}


def test_a_node_dies_in_the_middle_of_a_unit(nodes, cohort, quiet, tmp_path, capsys):  # noqa: F811
    "The study ends, each result equal byte for byte to that of one process; last, because the cluster has one node less then."
    said = settings(tmp_path / 'lab', cohort)
    study, errors = study_of(said), []

    def run():
        try:
            study.run(engine=RayCluster())
        except BaseException as e:
            errors.append(e)
            raise

    running, victim = threading.Thread(target=run), list(nodes.worker_nodes)[-1]
    began = time.monotonic()
    running.start()
    while len(at_work := holders(said['folder'])) < 2 and running.is_alive():
        time.sleep(0.01)
    assert running.is_alive() and cores(nodes) == 2, errors
    inside = [pid for pid in at_work.values() if parent(pid) in {p.process.pid for p in victim.all_processes['raylet']}]
    for pid in inside:  # whatever computes there
        os.kill(pid, signal.SIGKILL)
    nodes.remove_node(victim, allow_graceful=False)  # and the node itself
    killed = time.monotonic()
    running.join(600)
    with capsys.disabled():
        print(f'\ntwo nodes at work on {", ".join(f"{key[:8]} (process {pid})" for key, pid in at_work.items())}; '
              f'the node of {inside} killed {killed - began:.1f} s after the start; the study ended {time.monotonic() - killed:.1f} s later; '
              f'results that differ from those of one process: {differing(said["folder"], quiet)}')
    assert len(inside) == 1 and not running.is_alive() and not errors
    while cores(nodes) > 1:  # Ray has noticed too
        assert time.monotonic() - killed < 120
        time.sleep(1)
    assert differing(said['folder'], quiet) == []
    assert not failures(study.backlog).size
