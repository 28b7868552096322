"""The parts of the kit, read from its files: who exports what, who imports whom.

    python docs/architecture.py           exit 1 where nbs/figures/architecture.svg, its words or the tree of the first page are not what the files give
    python docs/architecture.py --write   write both
"""
import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NBS, PACKAGE = ROOT / 'nbs', ROOT / 'lp_nb'


def notebooks() -> list[Path]:
    "The notebooks that export a module, in reading order: the ground, the parts, the command."
    return [p for p in sorted(NBS.rglob('*.ipynb')) if re.match(r'\d', str(p.relative_to(NBS))) and '.ipynb_checkpoints' not in p.parts]


def module_of(path: Path) -> str:
    "The module that a notebook exports: its path without the numbers."
    return '.'.join(re.sub(r'^\d+_', '', part) for part in path.relative_to(NBS).with_suffix('').parts)


def file_of(module: str) -> Path:
    "Where a module lies."
    return PACKAGE / f'{module.replace(".", "/")}.py'


def sentence(module: str) -> str:
    "What a module says of itself."
    return ast.get_docstring(ast.parse(file_of(module).read_text(encoding='utf-8'))) or ''


def imports_of(path: Path) -> set[str]:
    "The modules of the kit that a module imports, at its head or within a function."
    tree, here, found = ast.parse(path.read_text(encoding='utf-8')), path.relative_to(PACKAGE).parts, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = '.'.join(here[:len(here) - node.level]) if node.level else ''
            base = '.'.join(filter(None, [above, node.module or ''])) if node.level else (node.module or '').removeprefix('lp_nb').lstrip('.')
            if node.level or (node.module or '').split('.')[0] == 'lp_nb':
                found |= {name for name in [base, *(f'{base}.{a.name}'.lstrip('.') for a in node.names)] if name and file_of(name).exists()}
        elif isinstance(node, ast.Import):
            found |= {a.name[6:] for a in node.names if a.name.startswith('lp_nb.') and file_of(a.name[6:]).exists()}
    return found


# --- the tree ---
SAYS = {'': 'the ground: what every room stands on', 'data': 'tables become a cohort', 'measures': 'arrays in, numbers out',
        'learning': 'encoders, stages, plans, the lab', 'study': 'many plans, judged', 'theory': 'claims that can fail',
        'view': 'figures, the report, widgets'}  # part -> what it is


def part_of(module: str) -> str:
    "The part in which a module lies; '' is the ground, 'cli' the command."
    return module.split('.')[0] if '.' in module or module == 'cli' else ''


def rooms() -> dict[str, list[str]]:
    "Part -> its modules in reading order, the ground first."
    out = {}
    for module in map(module_of, notebooks()):
        out.setdefault(part_of(module), []).append(module)
    return out


def wrapped(names: list[str], width: int) -> list[str]:
    "Names in lines of at most so many letters."
    lines = ['']
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) > width:
            lines.append('')
        lines[-1] += name + '  '
    return [line.rstrip() for line in lines]


def tree() -> str:
    "The file list: parts with their modules in reading order."
    folder = {part_of(module_of(p)): f'{p.relative_to(NBS).parts[0]}/' for p in notebooks() if p.parent != NBS}
    lines = []
    for part, modules in rooms().items():
        names = [m.removeprefix(f'{part}.') for m in modules]
        nested = {n.split('.')[0]: [x.split('.')[1] for x in names if x.startswith(n.split('.')[0] + '.')] for n in names if '.' in n}
        flat = [n for n in names if '.' not in n]
        what = f'# {SAYS[part]}' if part in SAYS else '# lp-nb'
        head = folder.get(part, 'nbs/' if part == '' else f'{notebooks()[-1].name}')
        lines.append(f'{head:<14}{what}')
        lines += [] if part == 'cli' else ['    ' + line for line in wrapped(flat, 84)]
        for name, inside in nested.items():
            rows = wrapped(inside, 72)
            lines += [f'    {name + "/":<12}{rows[0]}', *(f'{"":16}{row}' for row in rows[1:])]
    return '```text\n' + '\n'.join(lines) + '\n```'


# --- the picture ---
COLOURS = {'view': '#b0508c', 'theory': '#b58900', 'study': '#2e8b57', 'learning': '#2a6fb0', 'measures': '#777777', 'data': '#c4622d', '': '#444444'}  # from the top
LEFT, WIDE, HIGH, STEP, EM = 12, 620, 74, 90, 0.56  # pixels; EM: width of a letter in its size


def text(y: float, words: str, size: int, style: str = '') -> str:
    "A line of text within its box, whatever the font."
    width = min(WIDE - 28, EM * size * len(words))
    return (f'<text x="{LEFT + 14}" y="{y:g}" font-size="{size}" textLength="{width:.0f}" lengthAdjust="spacingAndGlyphs"{style}>'
            f'{words.replace("&", "&amp;")}</text>')


def box(row: int, part: str, modules: list[str]) -> str:
    "A part as a box: its name, what it is, its modules."
    top = 12 + STEP * row
    names = list(dict.fromkeys(m.removeprefix(f'{part}.').split('.')[0] for m in modules))
    out = [f'<rect x="{LEFT}" y="{top}" width="{WIDE}" height="{HIGH}" rx="8" fill="{COLOURS[part]}" fill-opacity="0.12" stroke="{COLOURS[part]}"/>',
           text(top + 22, f'{part or "ground"}: {SAYS[part].removeprefix("the ground: ")}', 15, ' font-weight="bold"')]
    rows = wrapped([f'{name},' for name in names[:-1]] + names[-1:], int((WIDE - 28) / (EM * 13)))
    return '\n'.join(out + [text(top + 43 + 18 * i, row.replace('  ', ' '), 13) for i, row in enumerate(rows)])


def arcs(imports: dict[tuple, int]) -> list[str]:
    "A line from each part to each that it imports from, in the colour of the part that imports, the thicker the more imports."
    order, out = list(COLOURS), []
    for (a, b), n in sorted(imports.items(), key=lambda item: [order.index(part) for part in item[0]]):
        i, j = order.index(a), order.index(b)
        y, y2 = 12 + STEP * i + 14 + 11 * (j - i), 12 + STEP * j + HIGH - 8 - 11 * (j - i)
        out.append(f'<path d="M{LEFT + WIDE} {y} C{LEFT + WIDE + 52 * (j - i)} {y} {LEFT + WIDE + 52 * (j - i)} {y2} {LEFT + WIDE + 8} {y2}" fill="none" '
                   f'stroke="{COLOURS[a]}" stroke-opacity="0.8" stroke-width="{1 + n ** .5 / 2:.1f}" marker-end="url(#tip)">'
                   f'<title>{a} imports {n} times from {b}</title></path>')
    return out


def counted() -> dict[tuple, int]:
    "(part, part it imports from) -> how many of its modules' imports lead there; the ground and the command left out."
    out = {}
    for part, modules in rooms().items():
        for other in [o for m in modules for o in imports_of(file_of(m))]:
            if {part, part_of(other)} <= COLOURS.keys() - {''} and part != part_of(other):
                out[part, part_of(other)] = out.get((part, part_of(other)), 0) + 1
    return out


def picture() -> str:
    "The parts and what they import, as an SVG."
    here, high = rooms(), 12 + STEP * len(COLOURS)
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 {high}" font-family="Helvetica, Arial, sans-serif" fill="#222" role="img">',
        '<title>Parts of lp_nb; every line leads down, to the part that is imported from. All parts import from the ground.</title>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect x="0" y="0" width="880" height="{high}" fill="#fff"/>', *arcs(counted()),
        *(box(row, part, here[part]) for row, part in enumerate(COLOURS)), '</svg>', ''])


def in_words() -> str:
    "What the picture shows, for those who cannot see it."
    below = {part: [b for b in COLOURS if (part, b) in counted()] for part in COLOURS}
    said = [f'{part} imports from {" and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))}' for part, names in below.items() if names]
    return f'The parts of the kit, from the top: {"; ".join(said)}; all of them from the ground.'


def main(write: bool) -> int:
    "0 if the picture, its words and the tree are what the files give, or are so now."
    svg, index = NBS / 'figures' / 'architecture.svg', NBS / 'index.ipynb'
    nb = json.loads(index.read_text(encoding='utf-8'))
    before = {c['id']: ''.join(c['source']) for c in nb['cells']}
    drawn = dict(files=tree(), map=re.sub(r'!\[[^]]*\](?=\(figures/architecture.svg)', lambda _: f'![{in_words()}]', before['map']))
    same = svg.exists() and svg.read_text(encoding='utf-8') == picture() and before | drawn == before
    if write and not same:
        svg.write_text(picture(), encoding='utf-8')
        for cell in nb['cells']:
            cell['source'] = drawn.get(cell['id'], before[cell['id']]).splitlines(keepends=True)
        index.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return int(not same and not write)


if __name__ == '__main__':
    sys.exit(main('--write' in sys.argv))
