"An index is there to be used: every public function that takes two tables of stays gives the same for stays in another order, or refuses."
import inspect
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lp_nb.view.widgets.boards import reliability_both
from lp_nb.measures.calibration import net_benefit_curve
from lp_nb.measures.comparison import paired_difference
from lp_nb.core import UserError
from lp_nb.measures.evaluation import example_arms
from lp_nb.measures.geometry import Moments, example_maps
from lp_nb.measures.intervals import evaluate
from lp_nb.measures.maps import align_stages, joint_layout
from lp_nb.measures.readouts import OWN_MEASURES, BatchedCKA, add_measure, knn_auroc
from lp_nb.study.subgroups import subgroups

ROOMS = ('measures.evaluation measures.intervals measures.comparison study.baselines measures.calibration'
         ' study.subgroups measures.geometry measures.readouts study.trajectories measures.maps view.style view.flow view.quality view.figures view.results view.widgets.cases view.widgets.points view.widgets.handout view.widgets.explorer view.widgets.boards').split()
TABLES = {'y', 'p', 'pa', 'pb', 'patients', 'by', 'h', 'c', 'a', 'b', 'classes', 'nuisances', 'y_val', 'p_val', 'arms', 'predictions', 'train', 'test',
          'fit', 'judge', 'reports', 'series', 'maps', 'stages', 'table', 'color', 'values', 'labels', 'layout'}  # names of parameters that may be tables of stays
room_of = lambda module: module.rsplit('.', 1)[-1]
NONE = {  # functions with two such names that take no two tables of stays, and why
    'evaluation.label_names': 'names of labels', 'comparison.difference': 'numbers', 'comparison.seed_difference': 'values by seed',
    'baselines.fitters': 'arrays over the rows of the cohort', 'geometry.decided': 'intervals', 'trajectories.measure_run': 'names of columns',
    'flow.join': 'steps of a ledger', 'quality.shared_quantiles': 'names of columns', 'results.interval_marks': 'heights',
    'points.same_choice': 'numbers of rows'}


def tables_of(f) -> list:
    "Names of the parameters that may be tables of stays: those not said to be arrays."
    return [n for n, p in inspect.signature(f).parameters.items() if n in TABLES and p.annotation not in (np.ndarray, str, int, float)]


def public() -> dict:
    "Every public function of the rooms that takes two or more tables, by room and name."
    rooms = [import_module(f'lp_nb.{room}') for room in ROOMS]
    found = {f'{room_of(m.__name__)}.{name}': getattr(m, name) for m in rooms for name in m.__all__}
    return {name: f for name, f in found.items() if inspect.isfunction(f) and name.startswith(f'{room_of(f.__module__)}.') and len(tables_of(f)) > 1}


def shuffled(x):
    "The same stays in another order."
    return x.iloc[np.random.default_rng(1).permutation(len(x))]


@pytest.fixture(scope='module')
def stays():
    "Tables of the same stays, by the name of the parameter that takes them."
    n, cast, cloud = 400, example_arms(labels=3), example_maps(400, 8)
    ids = pd.Index(30_000_000 + 7 * np.arange(n), name='stay_id')
    frame = lambda x: pd.DataFrame(x, ids)
    y, p, q = (frame(x[:n]) for x in (cast.y, cast.a, cast.b))
    ward = pd.Series(np.array(['a', 'b', 'c', 'd'])[np.arange(n) % 4], ids, name='ward')
    labels, h, w = frame(cloud.y), frame(cloud.cone), frame(cloud.wide)
    stages = [h, w, h + w]
    layout = joint_layout(stages, ['init', 'mlm', 'contrastive'], method='pca')
    return SimpleNamespace(y=y, p=p, q=q, one=y[0], risk=p[0], other=q[0], patients=pd.Series(cast.patients[:n], ids), ward=ward, labels=labels, h=h, w=w,
                           stages=stages, layout=layout, facts=pd.DataFrame(dict(age=np.arange(n) % 60, ward=ward, died=labels[0]), ids))


MEASURED = dict(readouts=True, n_min=20)
CALLS = {  # function -> its arguments, of which each table is shuffled in turn
    'evaluation.checked_predictions': lambda s: dict(y=s.y, p=s.p, patients=s.patients),
    'evaluation.one_label': lambda s: dict(y=s.one, p=s.risk, patients=s.patients),
    'evaluation.calibration_line': lambda s: dict(y=s.one, p=s.risk),
    **{f'evaluation.{name}': lambda s: dict(y=s.y, p=s.p) for name in ('score', 'auroc', 'auprc', 'micro')},
    'intervals.bootstrap': lambda s: dict(y=s.y, p=s.p, patients=s.patients, n=5),
    'intervals.evaluate': lambda s: dict(y=s.y, p=s.p, patients=s.patients, n=5),
    'intervals.delong': lambda s: dict(y=s.one, p=s.risk, patients=s.patients),
    'intervals.roc_band': lambda s: dict(y=s.one, p=s.risk, patients=s.patients, n=5),
    'comparison.paired_difference': lambda s: dict(y=s.y, pa=s.p, pb=s.q, patients=s.patients, n=5),
    'comparison.delong_difference': lambda s: dict(y=s.one, pa=s.risk, pb=s.other, patients=s.patients),
    'comparison.arm_draws': lambda s: dict(y=s.y, predictions=[s.p, s.q], patients=s.patients, n=5),
    'calibration.reliability_table': lambda s: dict(y=s.y, p=s.p, patients=s.patients),
    'calibration.temperature': lambda s: dict(y=s.y, p=s.p),
    'calibration.calibration_report': lambda s: dict(y_val=s.y, p_val=s.q, y=s.y, p=s.p, patients=s.patients, n=5),
    'calibration.net_benefit_curve': lambda s: dict(y=s.y, arms=dict(one=s.p, two=s.q)),
    'subgroups.subgroups': lambda s: dict(y=s.y, p=s.p, by=s.ward, patients=s.patients, n=5),
    'subgroups.subgroup_gaps': lambda s: dict(y=s.y, p=s.p, by=s.facts[['ward']], patients=s.patients, n=5),
    **{f'geometry.{name}': lambda s: dict(h=s.h, y=s.labels) for name in ('checked_vectors', 'manova', 'label_geometry')},
    **{f'geometry.{name}': lambda s: dict(h=s.h, c=s.ward) for name in ('class_moments', 'deviation_below', 'eta_squared', 'by_class')},
    'geometry.geometry_of': lambda s: dict(h=s.h, y=s.labels, classes=s.ward, nuisances=s.facts[['ward']], n_min=20),
    'readouts.discriminate': lambda s: dict(fit=(s.h, s.labels[0]), judge=(s.w, s.labels[0])),
    'readouts.readout': lambda s: dict(h=s.h, y=s.labels),
    **{f'readouts.{name}': lambda s: dict(train=(s.h, s.labels), test=(s.w, s.labels)) for name in ('knn_auroc', 'label_curve', 'taught')},
    'readouts.probe_auroc': lambda s: dict(train=(s.h, s.labels), test=(s.w, s.labels), n=50),
    **{f'readouts.{name}': lambda s: dict(a=s.h, b=s.w) for name in ('alignment', 'hsics', 'cka')},
    'readouts.own_measure': lambda s: dict(name='event_mean', h=s.h, y=s.labels),
    'readouts.asked': lambda s: dict(name=None, h=s.h, y=s.labels, seed=0, n_min=20),
    'readouts.measure': lambda s: dict(h=s.h, y=s.labels, train=(s.w, s.labels), labels_at=(50,), classes=s.ward, nuisances={'w': s.ward}, **MEASURED),
    'trajectories.labels_of': lambda s: dict(h=s.h, y=s.labels),
    'trajectories.measure_all': lambda s: dict(maps=dict(one=s.h, two=s.w), y=s.labels, nuisances={'w': s.ward}, n_min=20),
    'trajectories.label_measures': lambda s: dict(h=s.h, y=s.labels, seed=0),
    'trajectories.spread_rows': lambda s: dict(h=s.h, y=s.labels, patients=s.patients.to_numpy(), draws=4, seed=0),
    'trajectories.plane_point': lambda s: dict(reports=s.h, series=s.w),
    'maps.clearest': lambda s: dict(layout=s.layout, y=s.labels),
    'figures.stage_maps': lambda s: dict(layout=s.layout, color=s.facts['died']),
    'results.reliability': lambda s: dict(y=s.one, p=s.risk, patients=s.patients),
    'points.make_scatter': lambda s: dict(table=s.facts, layout=s.layout, node=0),
    'handout.stage_map': lambda s: dict(layout=s.layout, table=s.facts, columns=['age', 'died']),
    'boards.reliability_both': lambda s: dict(y_val=s.y, p_val=s.q, y=s.y, p=s.p, patients=s.patients),
}
ALSO = {  # methods, and functions of a list of tables
    'geometry.Moments.add': (lambda h, y: Moments((2, 2)).add(h, y).of(1).mean, lambda s: dict(h=s.h, y=s.labels)),
    'readouts.BatchedCKA.add': (lambda a, b: BatchedCKA().add(a, b).value, lambda s: dict(a=s.h, b=s.w)),
    'maps.align_stages': (align_stages, lambda s: dict(stages=s.stages)),
    'maps.joint_layout': (lambda stages, label: joint_layout(stages, ['a', 'b', 'c'], method='lda', label=label).xy, lambda s: dict(stages=s.stages, label=s.one)),
}


def variants(value):
    "A value with each table in it shuffled in turn."
    if isinstance(value, (pd.DataFrame, pd.Series)):
        yield shuffled(value)
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from (value | {k: w} for w in variants(v))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from (type(value)([*value[:i], w, *value[i + 1:]]) for w in variants(v))


def as_plain(x):
    "Whatever a function hands back as arrays that can be compared."
    if hasattr(x, 'savefig'):
        return np.concatenate([c.get_facecolors().ravel() for ax in x.axes for c in ax.collections])
    if isinstance(x, (pd.DataFrame, pd.Series)):
        return as_plain(x.sort_index().to_numpy())
    if isinstance(x, dict):
        return as_plain(list(x.values()))
    if isinstance(x, (list, tuple)):
        return [as_plain(v) for v in x]
    return as_plain(list(vars(x).values())) if hasattr(x, '__dataclass_fields__') else x


def same(a, b) -> bool:
    "Whether two results are the same numbers and words."
    if isinstance(a, list):
        return len(a) == len(b) and all(same(v, w) for v, w in zip(a, b))
    if isinstance(a, np.ndarray) and a.dtype == object:
        return same(a.ravel().tolist(), b.ravel().tolist())
    return np.allclose(a, b, equal_nan=True) if isinstance(a, (int, float, np.ndarray, np.generic)) else str(a) == str(b)


def test_every_function_of_two_tables_is_tried():
    found = public()
    assert set(found) - set(NONE) == set(CALLS)
    assert set(NONE) <= set(found)


@pytest.fixture(scope='module')
def own():
    "A measure of one's own, registered for a test."
    add_measure('event_mean', version=1)(lambda h, y, seed: float(h[y[:, 0] == 1].mean()))
    yield
    del OWN_MEASURES['event_mean'], OWN_MEASURES.own['event_mean']


@pytest.mark.parametrize('name', [*CALLS, *ALSO])
def test_another_order_is_matched_or_refused(name, stays, own):
    f, make = ALSO[name] if name in ALSO else (public()[name], CALLS[name])
    arguments, tried = make(stays), 0
    right = as_plain(f(**arguments))
    for other in variants(arguments):
        tried += 1
        try:
            got = as_plain(f(**other))
        except UserError as e:
            assert 'from position' in str(e) or 'in their order' in str(e), e
            continue
        assert same(right, got), name
    assert tried


def test_the_patients_are_compared_where_the_labels_are_an_array(stays):
    s = stays
    for call in (lambda: evaluate(s.y.to_numpy(), s.p, shuffled(s.patients)), lambda: paired_difference(s.y.to_numpy(), s.p, shuffled(s.q)),
                 lambda: subgroups(s.y.to_numpy(), s.p, shuffled(s.ward)), lambda: net_benefit_curve(s.y.to_numpy(), dict(a=s.p, b=shuffled(s.q)))):
        with pytest.raises(UserError, match='in their order'):
            call()


def test_labels_of_other_columns_are_refused(stays):
    s = stays
    turned = s.labels[[1, 0]]
    for call in (lambda: knn_auroc((s.h, s.labels), (s.w, turned)), lambda: reliability_both(s.y[[1, 0, 2]], s.q[[1, 0, 2]], s.y, s.p)):
        with pytest.raises(UserError, match='the labels of the'):
            call()
