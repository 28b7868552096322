"""Layered pretraining of clinical foundation models, from raw MIMIC-IV tables to Table 1.

    import lp_nb as lp

    cohort = lp.example_cohort('mortality')                                    # or lp.build_cohort(DIR, out=...), lp.Cohort.load(DIR)
    lab = lp.Lab('runs/lab', cohort, lp.EncoderConfig(architecture='reader'))  # a folder in which results are kept
    run = lab.run('load(reader) > contrastive(epochs=1) > supervised(train=head, head=logistic)', seed=0)
    lp.Explorer(run)                                                           # in JupyterLab: the same stays after every stage

Data: `make_hospital` and `hospital_named` write a synthetic hospital in the layout of MIMIC-IV, `oracle` and `perfect_reader` are
its ceilings; `build_cohort` turns tables into a `Cohort`, `example_cohort` makes one to play with.
Learning: a `plan` is a line of text, a `Lab` runs it and keeps what it computed, with the encoders of an `EncoderConfig`; its `tree()`
draws what is there. A stage of your own is an `Objective` and a `Stage`, named with `add_stage`; `add_series_encoder` takes an encoder.
Judging: `evaluate` gives metrics with intervals, `compare` and `claim` paired differences (of `arm_draws`); a `Study` runs many arms
with a `Search`, `arms_of` makes Table 1's, and `judge` says what they showed.
Geometry: `measure` and `trajectory` follow embeddings from stage to stage, `run_layout` draws them on one map, `clearest` and `honesty`
say what can be seen there and how far to trust it; `add_measure` takes a measure of your own.
Theory: a `Claim` is a statement that can fail; `verdicts` holds claims against a run of the bench.
Looking: `cohort_flow`, `stage_maps`, `deviation_curves` and `forest` draw; `CohortFlow`, `StayViewer`, `Live`, `Composer`, `Explorer`,
`DeviationCurves`, `ResultsBoard` and `ClaimsBoard` are the same for hands.

Each name is imported when it is first touched; `help(lp.Lab)` says what one does, and the notebook behind it why.
What went wrong for a reason is a `UserError`: what was expected, what came, what to do. From a shell: `lp-nb --help`.
"""
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

_FACE = {  # module -> the names that it gives
    'core': 'UserError',
    'data.hospital': 'make_hospital',
    'data.oracle': 'oracle',
    'data.cohort': 'Cohort build_cohort example_cohort',
    'measures.intervals': 'evaluate',
    'measures.comparison': 'arm_draws claim compare',
    'measures.readouts': 'add_measure measure',
    'measures.maps': 'clearest honesty run_layout',
    'learning.encoders': 'EncoderConfig add_series_encoder',
    'learning.stage': 'Objective Stage',
    'learning.plans': 'add_stage plan',
    'learning.lab': 'Lab',
    'study.search': 'Search',
    'study.sweeps': 'Study',
    'study.table1': 'arms_of judge',
    'study.trajectories': 'trajectory',
    'theory.claims': 'Claim verdicts',
    'view.flow': 'cohort_flow',
    'view.figures': 'deviation_curves stage_maps',
    'view.results': 'forest',
    'view.demo': 'hospital_named perfect_reader',
    'view.widgets.gallery': 'ClaimsBoard CohortFlow Composer DeviationCurves Explorer Live ResultsBoard StayViewer',
}
_HOME = {name: module for module, names in _FACE.items() for name in names.split()}

if TYPE_CHECKING:  # what an editor and a type checker see
    from .core import UserError as UserError
    from .data.hospital import make_hospital as make_hospital
    from .data.oracle import oracle as oracle
    from .data.cohort import Cohort as Cohort, build_cohort as build_cohort, example_cohort as example_cohort
    from .measures.intervals import evaluate as evaluate
    from .measures.comparison import arm_draws as arm_draws, claim as claim, compare as compare
    from .measures.readouts import add_measure as add_measure, measure as measure
    from .measures.maps import clearest as clearest, honesty as honesty, run_layout as run_layout
    from .learning.encoders import EncoderConfig as EncoderConfig, add_series_encoder as add_series_encoder
    from .learning.stage import Objective as Objective, Stage as Stage
    from .learning.plans import add_stage as add_stage, plan as plan
    from .learning.lab import Lab as Lab
    from .study.search import Search as Search
    from .study.sweeps import Study as Study
    from .study.table1 import arms_of as arms_of, judge as judge
    from .study.trajectories import trajectory as trajectory
    from .theory.claims import Claim as Claim, verdicts as verdicts
    from .view.flow import cohort_flow as cohort_flow
    from .view.figures import deviation_curves as deviation_curves, stage_maps as stage_maps
    from .view.results import forest as forest
    from .view.demo import hospital_named as hospital_named, perfect_reader as perfect_reader
    from .view.widgets.gallery import (
        ClaimsBoard as ClaimsBoard,
        CohortFlow as CohortFlow,
        Composer as Composer,
        DeviationCurves as DeviationCurves,
        Explorer as Explorer,
        Live as Live,
        ResultsBoard as ResultsBoard,
        StayViewer as StayViewer,
    )


def __getattr__(name: str):
    if name not in _HOME:
        near = '' if name.startswith('_') else import_module(f'{__name__}.core').meant(name, _HOME)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}' + (f'. Did you mean {near!r}?' if near else ''))
    value = globals()[name] = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    return value


def __dir__():
    return sorted({*globals(), *_HOME} - {'TYPE_CHECKING', 'import_module'})
