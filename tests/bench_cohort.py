"""How fast and how lean a cohort is built: against a bare scan of the same file, and as the file grows.

    python tests/bench_cohort.py --rows 3e6 10e6 --stays 6000 --keep data/bench
"""
import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAYS_A_PATIENT, ROWS_A_STAY = 1.21, 720  # of a synthetic hospital; rows of the variables at chart_every=1
LONGEST = 24  # hours; the largest chart_every
PROBE = 5000  # patients whose charts are drawn to count rows
SMALL = dict(rows=300_000, stays=360)  # what the prior work's pipeline can read in a minute or two


def compose(
    rows: int,  # wanted in chartevents
    stays: int,  # wanted in icustays
    useful: float,  # wanted share of the rows that belong to a variable
    every: int | None = None,  # hours between vital signs; chosen if None
) -> dict:
    "The configuration of a hospital of about that size: the vital signs are thinned out, then other items fill it up."
    from lp_nb.data.hospital import blocks, chart_rows, draw_hours
    from lp_nb.data.people import PATIENTS_PER_BLOCK, HospitalConfig, draw_block

    every = every or min(LONGEST, max(1, round(ROWS_A_STAY * stays / (useful * rows))))
    config = HospitalConfig(patients=max(1, round(stays / STAYS_A_PATIENT)), general=0, chart_every=every)
    counters, charted = (0, 0, 0), 0
    for block, n in blocks(min(config.patients, PROBE), PATIENTS_PER_BLOCK):
        _, visits, drawn, y = draw_block(config, block, counters, n)
        _, s, draws = draw_hours(config, block, drawn, y)
        charted += len(chart_rows(config, block, drawn, s, draws))
        counters = (counters[0] + n, counters[1] + len(visits), counters[2] + len(drawn))
    expected = charted * config.patients / counters[0]
    other = max(0.0, round(rows / expected - 1, 4))
    return dict(patients=config.patients, general=0, chart_every=every, other_items=other)


def make(
    out: Path,  # folder of the hospital
    **wanted,  # of `compose`
):
    "Write the hospital that `compose` gives."
    from lp_nb.data.hospital import make_hospital
    from lp_nb.data.people import HospitalConfig

    make_hospital(out, HospitalConfig(**compose(**wanted)))


def ours(root: Path):
    "Build the mortality cohort with the default rules, into a folder that is thrown away."
    from lp_nb.data.cohort import build_cohort

    with tempfile.TemporaryDirectory(dir=root.parent) as tmp:
        build_cohort(root, task='mortality', preset='clean', out=Path(tmp) / 'cohort')


def baseline(root: Path):
    "What nobody can do without: read the chart once, keep the items of the variables, take the last value of each hour."
    import polars as pl

    known = pl.read_csv(ROOT / 'lp_nb' / 'assets' / 'variable_map.csv').filter(table='chartevents')['itemid'].to_list()
    time_of = lambda c: pl.col(c).str.to_datetime('%Y-%m-%d %H:%M:%S')
    kinds = dict(stay_id=pl.Int64, itemid=pl.Int64, valuenum=pl.Float64)
    stays = pl.scan_csv(root / 'icu/icustays.csv.gz', infer_schema=False, schema_overrides=kinds)
    events = pl.scan_csv(root / 'icu/chartevents.csv.gz', infer_schema=False, schema_overrides=kinds)
    events = events.select('stay_id', 'itemid', 'charttime', 'valuenum').filter(pl.col('itemid').is_in(known))
    placed = events.with_columns(time_of('charttime')).join(stays.select('stay_id', time_of('intime')), on='stay_id')
    hour = ((pl.col('charttime') - pl.col('intime')).dt.total_seconds() // 3600).alias('hour')
    placed.group_by('stay_id', 'itemid', hour).agg(pl.col('valuenum').last()).collect(engine='streaming')


def lineage(root: Path):
    "The prior work's pipeline, in plain pandas."
    sys.path.insert(0, str(Path(__file__).parent))
    from lineage import episodes

    episodes(root)


def warm(job: str):
    "Import what the job needs, so that the clock does not see it."
    if job == 'ours':
        import lp_nb.data.cohort  # noqa: F401
    elif job == 'baseline':
        import polars  # noqa: F401
    elif job == 'lineage':
        import pandas  # noqa: F401


def cpu_seconds() -> float:
    "User and system time of this process, its threads and its ended children."
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def job(
    name: str,  # 'make', 'ours', 'baseline' or 'lineage'
    folder: Path,  # of the hospital
    wanted: dict,  # further arguments
):
    "Run one job in this process and print what it cost as one line of JSON."
    warm(name)
    cpu, wall = cpu_seconds(), time.perf_counter()
    dict(make=make, ours=ours, baseline=baseline, lineage=lineage)[name](folder, **wanted)
    cost = dict(wall=time.perf_counter() - wall, cpu=cpu_seconds() - cpu, start=cpu,
                mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
    print(json.dumps(cost))


def in_process(
    name: str,  # of the job
    folder: Path,  # of the hospital
    threads: int | None,  # of polars and numpy; None: as the environment says
    **wanted,  # further arguments
) -> dict:
    "What a job costs in a process of its own: wall and CPU seconds without imports, and its peak memory in MB."
    env = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}
    env |= {k: str(threads) for k in ('POLARS_MAX_THREADS', 'OMP_NUM_THREADS') if threads}
    done = subprocess.run([sys.executable, __file__, '--job', name, str(folder), json.dumps(wanted)], env=env,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{name} of {folder} failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def hospital(
    keep: Path,  # where hospitals are kept
    rows: int,  # wanted in chartevents
    stays: int,  # wanted in icustays
    useful: float,  # wanted share of the rows that belong to a variable
    every: int | None = None,  # hours between vital signs
    threads: int | None = None,  # of the process that makes it
) -> dict:
    "A hospital of about that size and what it is made of; made if it is not there."
    from lp_nb.privacy import is_synthetic

    folder = keep / (f'{stays}-stays-{rows}-rows-{useful:g}-useful' + (f'-every-{every}' if every else ''))
    said = 'reused'
    if not is_synthetic(folder):
        keep.mkdir(parents=True, exist_ok=True)
        cost = in_process('make', folder, threads, rows=rows, stays=stays, useful=useful, every=every)
        said = f'made in {cost["wall"]:.0f} s, {cost["mb"]:,.0f} MB'
    marker = json.loads((folder / 'hospital.json').read_text(encoding='utf-8'))
    config, counts = marker['config'], marker['rows']
    charted = counts['icu/chartevents']
    out = dict(folder=str(folder), stays=counts['icu/icustays'], rows=charted, patients=config['patients'],
               chart_every=config['chart_every'], other_items=config['other_items'],
               useful=1 / (1 + config['other_items']), mb=(folder / 'icu/chartevents.csv.gz').stat().st_size / 1e6)
    print(f'{folder.name}: {out["stays"]:,} stays, {charted:,} chart rows ({out["mb"]:,.0f} MB), {out["useful"]:.0%} of them belong '
          f'to variables (chart_every={out["chart_every"]}, other_items={out["other_items"]:g}); {said}', flush=True)
    return out


def measure(
    name: str,  # of the job
    place: dict,  # of `hospital`
    repeat: int,  # runs, of which the one with the least CPU counts
    threads: int | None,
) -> dict:
    "The cost of a job on a hospital, per run and per chart row."
    cost = min((in_process(name, Path(place['folder']), threads) for _ in range(repeat)), key=lambda c: c['cpu'])
    return dict(what=name, stays=place['stays'], rows=place['rows'], useful=place['useful'], **cost,
                rows_per_cpu=place['rows'] / cost['cpu'])


def exponent(small: dict, large: dict, key: str) -> float:
    "The p with which `key` grows as rows to the power of p."
    return math.log(large[key] / small[key]) / math.log(large['rows'] / small['rows'])


def growth(
    runs: list,  # of `measure`
    groups: list,  # one wanted number of stays per run
) -> list:
    "The exponents of CPU time and of memory in rows, from each size to the next and from the first to the last."
    out = []
    for stays, what in dict.fromkeys((g, r['what']) for g, r in zip(groups, runs)):
        mine = sorted((r for g, r in zip(groups, runs) if (g, r['what']) == (stays, what)), key=lambda r: r['rows'])
        ends = [(mine[0], mine[-1])] if len(mine) > 2 else []
        for a, b in [*zip(mine, mine[1:]), *ends]:
            out.append(dict(what=what, stays=stays, rows=a['rows'], to=b['rows'], cpu=exponent(a, b, 'cpu'),
                            mb=exponent(a, b, 'mb')))
    return out


def table(
    lines: list,  # of cells
    names: str,  # of the columns, separated by two spaces
) -> str:
    "Aligned columns: words to the left, numbers to the right."
    cells = [names.split('  '), *lines]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return '\n'.join('  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
                     for line in cells)


def cost_table(runs: list) -> str:
    "One line per run, with its ratio to the baseline on the same hospital."
    base = {(r['stays'], r['rows']): r for r in runs if r['what'] == 'baseline'}
    lines = []
    for r in runs:
        b = base.get((r['stays'], r['rows']))
        ratio = [f'{r[k] / b[k]:.2f}' if b else '' for k in ('cpu', 'mb')]
        lines.append([r['what'], f'{r["stays"]:,}', f'{r["rows"]:,}', f'{r["useful"]:.0%}', f'{r["wall"]:.1f}',
                      f'{r["cpu"]:.1f}', f'{r["rows_per_cpu"]:,.0f}', f'{r["mb"]:,.0f}', *ratio])
    names = 'what  stays  chart rows  of variables  wall s  CPU s  rows/CPU s  peak MB  CPU/baseline  memory/baseline'
    return table(lines, names)


def growth_table(lines: list) -> str:
    "One line per step in size."
    return table([[g['what'], f'{g["stays"]:,}', f'{g["rows"]:,}', f'{g["to"]:,}', f'{g["cpu"]:.2f}', f'{g["mb"]:.2f}']
                  for g in lines], 'what  stays  from rows  to rows  CPU ~ rows^  memory ~ rows^')


def main():
    "Make hospitals, measure, print."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole = lambda text: int(float(text))
    option = parser.add_argument
    option('--rows', type=whole, nargs='+', default=[3_000_000], help='chart rows of each hospital, e.g. 3e6 10e6 30e6')
    option('--stays', type=whole, nargs='+', default=[6000], help='ICU stays of each hospital, e.g. 6000 73000')
    option('--keep', type=Path, default=ROOT / 'data' / 'bench', help='folder where hospitals are kept and found again')
    option('--useful', type=float, default=0.16, help='wanted share of rows of the variables; 0.16 in the demo of MIMIC-IV')
    option('--chart-every', type=int, help='hours between vital signs; chosen to give --useful if left out')
    option('--repeat', type=int, default=1, help='runs of each job; the one with the least CPU time counts')
    option('--threads', type=int, help='threads of each job; default: as the environment says')
    option('--lineage', action='store_true', help="also time the prior work's pipeline on a small hospital")
    option('--json', type=Path, help='file to write the numbers to')
    option('--job', nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.job:
        return job(a.job[0], Path(a.job[1]), json.loads(a.job[2]))

    runs, groups, result = [], [], {}
    for stays in a.stays:
        for rows in a.rows:
            place = hospital(a.keep, rows, stays, a.useful, a.chart_every, a.threads)
            for what in ('ours', 'baseline'):
                runs.append(measure(what, place, a.repeat, a.threads))
                groups.append(stays)
    if a.lineage:
        place = hospital(a.keep, **SMALL, useful=a.useful, threads=a.threads)
        pair = [measure(what, place, a.repeat, a.threads) for what in ('ours', 'lineage')]
        result['lineage'] = dict(pair=pair, ratio=pair[0]['rows_per_cpu'] / pair[1]['rows_per_cpu'])
    result |= dict(runs=runs, growth=growth(runs, groups), machine=platform.platform(), cores=os.cpu_count(),
                   versions={n: version(n) for n in ('polars', 'numpy', 'pandas')}, python=platform.python_version())
    print('\n' + cost_table(runs + result.get('lineage', {}).get('pair', [])))
    if result['growth']:
        print('\n' + growth_table(result['growth']))
    if a.lineage:
        print(f'\nrows per CPU second, ours / lineage: {result["lineage"]["ratio"]:.1f}')
    if a.json:
        a.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    return None


if __name__ == '__main__':
    main()
