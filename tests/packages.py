"""What a stranger gets: the package built from a clean copy, installed with the lowest and the newest versions it allows, and used.

    python tests/packages.py                                     every Python found, both ends: an hour or two on two cores
    python tests/packages.py --pythons 3.12 --deps lowest        one environment
    python tests/packages.py --pythons 3.11 --deps lowest --notebooks    and every notebook's tests in it
    python tests/packages.py --build                             only build, and look at what is inside

Lowest: the lowest versions within the bounds of settings.ini that have a wheel for that Python (a bound may be older than
the first wheel for a newer Python); what they need in turn is as new as may be. Newest: the newest of everything, but
`--hold` (torch==2.13.0, so that every newest environment has the same torch). One environment at a time, up to 8 GB each
(torch from the index brings its CUDA libraries), removed when it was used. Needs a Python with venv, git and the network.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ('torch', 'numpy', 'pandas', 'transformers', 'polars', 'scikit-learn')
IDENTIFIER = re.compile(rb'\b[123]\d{7}\b')  # subject_id, hadm_id and stay_id of MIMIC-IV have eight digits
OURS = [f'lp_nb/assets/reader/{name}' for name in ('model.safetensors', 'recipe.json')]  # trained on synthetic texts; how many tokens it has read
PLAN = 'mlm(epochs=1) > contrastive(epochs=1) > supervised(epochs=1)'
VERSIONS = f'from importlib.metadata import version; print(*map(version, {SHOWN}))'
IMPORTS = '''import importlib, pathlib, lp_nb
where = pathlib.Path(lp_nb.__file__).parent
names = sorted('.'.join(p.relative_to(where).with_suffix('').parts) for p in where.rglob('*.py') if p.stem not in ('__init__', '__main__'))
[importlib.import_module(f'lp_nb.{name}') for name in names]
print(len(names), 'modules from', where)'''


def do(command, cwd, **env) -> str:
    "What a command printed; its failure with the end of what it said."
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=os.environ | env, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f'{" ".join(map(str, command))}: exit {done.returncode}\n{done.stdout[-4000:]}')
    return done.stdout


def timed(command, cwd, **env) -> float:
    "Seconds that a command took."
    start = time.perf_counter()
    do(command, cwd, **env)
    return time.perf_counter() - start


# --- build ---
def exported(to: Path) -> Path:
    "The files that git has or would add, as they are now, and nothing that an earlier build left."
    for name in do(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], ROOT).split('\0'):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def tools(work: Path) -> Path:
    "The bin folder of an environment with what builds, checks and resolves."
    do([sys.executable, '-m', 'venv', work / 'tools'], work)
    do([work / 'tools/bin/pip', 'install', '-q', 'build', 'twine', 'uv'], work)
    return work / 'tools' / 'bin'


def built(work: Path, bin: Path) -> tuple[Path, Path]:
    "(sdist, wheel), each built in isolation; the wheel from the sdist holds what the wheel from the tree holds."
    tree = exported(work / 'tree')
    do([bin / 'python', '-m', 'build', '-o', work / 'dist', tree], work)  # an sdist, and the wheel from it
    do([bin / 'python', '-m', 'build', '--wheel', '-o', work / 'direct', exported(work / 'again')], work)
    sdist, wheel, direct = (next(work.glob(pattern)) for pattern in ('dist/*.tar.gz', 'dist/*.whl', 'direct/*.whl'))
    assert members(wheel) == members(direct), f'from the sdist and from the tree differ: {set(members(wheel)) ^ set(members(direct))}'
    do([bin / 'twine', 'check', '--strict', sdist, wheel], work)
    return sdist, wheel


def members(archive: Path) -> list[str]:
    "The files in a wheel or an sdist."
    if archive.suffix == '.whl':
        return sorted(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as t:
        return sorted(m.name.split('/', 1)[1] for m in t.getmembers() if m.isfile())


READER = 'lp_nb/assets/reader/model.safetensors'  # the one model that ships: made of generated text alone


def check_contents(sdist: Path, wheel: Path, tree: Path):
    "The wheel holds the modules and assets of the tree and nothing else; neither holds data, notebooks, tests or identifiers."
    inside = sorted(str(p.relative_to(tree)) for p in (tree / 'lp_nb').rglob('*') if p.is_file())
    assert [m for m in members(wheel) if '.dist-info/' not in m] == inside, set(members(wheel)) ^ set(inside)
    assert any(m.endswith('LICENSE') for m in members(wheel)), 'the license is not in the wheel'
    foreign = [m for m in members(sdist) if re.search(r'^(tests|nbs|data|shared|docs|runs)/|\.(parquet|gz|npy|ipynb|safetensors)$', m) and m != READER]
    assert not foreign, f'the sdist holds {foreign}'
    with zipfile.ZipFile(wheel) as z:
        named = {m: found[:3] for m in z.namelist() if m not in OURS and (found := IDENTIFIER.findall(z.read(m)))}
    assert not named, f'numbers shaped like patient identifiers: {named}'


# --- install ---
def interpreter(version: str) -> str | None:
    "A Python of that version: pyenv's, or the one on PATH; None where there is none that starts."
    found = sorted(Path.home().glob(f'.pyenv/versions/{version}.*/bin/python'), key=lambda p: [int(n) for n in re.findall(r'\d+', str(p))])
    for python in [*map(str, reversed(found)), shutil.which(f'python{version}')]:
        asked = python and subprocess.run([python, '-c', 'import sys; print("%d.%d" % sys.version_info[:2])'],
                                          capture_output=True, text=True, check=False)
        if asked and asked.stdout.strip() == version:
            return python
    return None


def requirements(*extras: str) -> list[str]:
    "What settings.ini asks for."
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT / 'settings.ini', encoding='utf-8')
    return [line for key in ('requirements', *(f'{e}_requirements' for e in extras)) for line in ini['DEFAULT'][key].split()]


def resolved(version: str, deps: str, extras: list[str], hold: str, work: Path, bin: Path) -> Path:
    "A constraints file: the versions of one end for one Python, wheels only."
    wanted, constraints = work / f'{version}-{deps}.in', work / f'{version}-{deps}.txt'
    wanted.write_text('\n'.join(requirements(*extras) + hold.split() * (deps == 'newest')))
    how = 'lowest-direct' if deps == 'lowest' else 'highest'
    do([bin / 'uv', 'pip', 'compile', '-q', '--resolution', how, '--only-binary', ':all:', '--python-version', version,
        '--no-header', '--no-annotate', wanted, '-o', constraints], work)
    return constraints


def installed(python: str, wheel: Path, extras: list[str], constraints: Path, env: Path) -> float:
    "Seconds to make the environment and install the wheel in it; what was installed agrees with itself."
    wish, uv = f'{wheel}[{",".join(extras)}]' if extras else wheel, env.parent / 'tools' / 'bin' / 'uv'
    seconds = timed([python, '-m', 'venv', '--clear', env], env.parent)
    seconds += timed([uv, 'pip', 'install', '-q', '--python', env / 'bin/python', '--only-binary', ':all:', '-c', constraints, wish], env.parent)
    do([env / 'bin/pip', 'check'], env.parent)
    return seconds


# --- use ---
def small(lp: Path, place: Path, **env):
    "A synthetic hospital, its cohort, and one run of three stages."
    do([lp, 'hospital', 'hospital', '--patients', 300], place, **env)
    do([lp, 'cohort', '--mimic', 'hospital', '--task', 'mortality', '--out', 'cohort'], place, **env)
    do([lp, 'run', PLAN, '--cohort', 'cohort', '--lab', 'lab'], place, **env)


def used(env: Path, demo: bool, place: Path) -> dict:
    "Outside the repository: help, doctor, every module, and the demo to its end or a small run."
    lp, quiet = env / 'bin' / 'lp-nb', dict(LPNB_QUIET='1', OMP_NUM_THREADS='1')
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    said = do([env / 'bin/python', '-c', IMPORTS], place, **quiet)
    assert str(env) in said, f'lp_nb came from elsewhere: {said}'
    do([lp, 'doctor'], place, **quiet)
    out = dict(help=sorted(timed([lp, '--help'], place) for _ in range(5))[2])
    start = time.perf_counter()
    do([lp, 'demo', '--out', 'demo'], place, **quiet) if demo else small(lp, place, **quiet)
    assert not demo or (place / 'demo' / 'report.html').exists(), sorted(p.name for p in (place / 'demo').iterdir())
    return out | {'demo' if demo else 'run': time.perf_counter() - start}


def notebooks(env: Path, tree: Path):
    "Every notebook's tests, in the exported tree."
    do([env / 'bin' / 'nbdev_test', '--n_workers', '2', '--do_print', '--timing'], tree, OMP_NUM_THREADS='1', LPNB_QUIET='1',
       PATH=f'{env / "bin"}:{os.environ["PATH"]}')


def tried(version: str, deps: str, demo: bool, args, wheel: Path, work: Path) -> dict:
    "One row of the table; a failure is told and goes into the row."
    row, env = dict(python=version, deps=deps), work / 'env'
    python = interpreter(version)
    if not python:
        return row | dict(result='not run: no such Python here')
    extras = ['dev'] if args.notebooks else []
    try:
        constraints = resolved(version, deps, extras, args.hold, work, work / 'tools' / 'bin')
        row['install'] = installed(python, wheel, extras, constraints, env)
        row |= dict(zip(SHOWN, do([env / 'bin/python', '-c', VERSIONS], work).split(), strict=True))
        row |= used(env, demo, work / 'place')
        if args.notebooks:
            notebooks(env, work / 'tree')
    except (RuntimeError, AssertionError) as e:
        print(e, flush=True)
        return row | dict(result='FAILED')
    return row | dict(result='ok')


# --- tell ---
def table(rows: list[dict]) -> str:
    "The rows as aligned text."
    columns = ('python', 'deps', *SHOWN, 'install', 'help', 'run', 'demo', 'result')
    text = [list(columns)] + [[f'{v:.2f}' if isinstance(v := r.get(c, ''), float) else v for c in columns] for r in rows]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    return '\n'.join('  '.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in text)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pythons', nargs='+', default=['3.11', '3.12', '3.13'])
    p.add_argument('--deps', nargs='+', default=['lowest', 'newest'], choices=['lowest', 'newest'])
    p.add_argument('--demo', default='first', choices=['first', 'all', 'none'], help='where the whole demo runs: at each end on the first Python')
    p.add_argument('--hold', default='torch==2.13.0', help='what the newest environments hold still; an empty text holds nothing')
    p.add_argument('--notebooks', action='store_true', help="install [dev] and run every notebook's tests as well")
    p.add_argument('--build', action='store_true', help='build and check the contents, install nothing')
    p.add_argument('--work', type=Path, help='folder of the environments (default: a temporary one, removed at the end)')
    return p.parse_args()


def main(args, work: Path) -> bool:
    "Whether nothing failed."
    sdist, wheel = built(work, tools(work))
    check_contents(sdist, wheel, work / 'tree')
    print(f'{sdist.name}: {len(members(sdist))} files; {wheel.name}: {len(members(wheel))} files, {wheel.stat().st_size / 1e3:.0f} kB', flush=True)
    if args.hold and 'newest' in args.deps and not args.build:
        print(f'newest: with {args.hold} held')
    rows = []
    for n, version in enumerate([] if args.build else args.pythons):
        for deps in args.deps:
            rows.append(tried(version, deps, args.demo == 'all' or (args.demo == 'first' and n == 0), args, wheel, work))
            print(table(rows[-1:]), flush=True)
            shutil.rmtree(work / 'env', ignore_errors=True)
    print((f'\n{table(rows)}\n\n' if rows else '') + ', '.join(f'{sum(r["result"].startswith(w) for r in rows)} {w}' for w in ('ok', 'FAILED', 'not run')))
    return all(r['result'] != 'FAILED' for r in rows)


if __name__ == '__main__':
    given = arguments()
    with tempfile.TemporaryDirectory(prefix='lp_nb-packages-') as temporary:
        folder = given.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sys.exit(not main(given, folder.resolve()))
