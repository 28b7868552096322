"One page for a module: every public name with its signature, its sentence, and the comment beside each parameter. Read from the source alone."
import ast
import io
import re
import tokenize
from pathlib import Path

CELL = re.compile(r'^# %% (\S+\.ipynb) #(\S+)$', flags=re.M)


def comments_of(source: str) -> dict[int, str]:
    "Line number -> the comment that ends the line."
    return {t.start[0]: t.string.lstrip('# ') for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT}


def beside(nodes: list[ast.AST], comments: dict, head: int) -> list[str]:
    "The comment beside each node, where the node has a line to itself below line `head`."
    lines = [n.end_lineno for n in nodes]
    return [comments.get(k, '') if k > head and lines.count(k) == 1 else '' for k in lines]


def arguments(f: ast.FunctionDef, comments: dict) -> list[tuple]:
    "(name, type, default, comment) of each parameter but self."
    a = f.args
    plain = [*a.posonlyargs, *a.args]
    ends = [d or n for n, d in zip(plain, [None] * (len(plain) - len(a.defaults)) + a.defaults, strict=True)]
    nodes = [(n.arg, n, e if e is not n else None) for n, e in zip(plain, ends, strict=True)]
    nodes += [('*' + a.vararg.arg, a.vararg, None)] if a.vararg else []
    nodes += [(n.arg, n, d) for n, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    nodes += [('**' + a.kwarg.arg, a.kwarg, None)] if a.kwarg else []
    said = beside([d or n for _, n, d in nodes], comments, f.lineno)
    rows = [(name, n.annotation, d, c) for (name, n, d), c in zip(nodes, said, strict=True)]
    return [(name, *(ast.unparse(x) if x else '' for x in (kind, default)), c) for name, kind, default, c in rows if name not in ('self', 'cls')]


def fields(c: ast.ClassDef, comments: dict) -> list[tuple]:
    "(name, type, default, comment) of each annotated field of a class."
    found = [n for n in c.body if isinstance(n, ast.AnnAssign) and not n.target.id.startswith('_')]
    said = beside(found, comments, c.lineno)
    return [(n.target.id, ast.unparse(n.annotation), ast.unparse(n.value) if n.value else '', s) for n, s in zip(found, said, strict=True)]


def table(rows: list[tuple], what: str) -> str:
    "Parameters or fields as a markdown table; empty where no row says more than the signature does."
    if not any(r[3] for r in rows):
        return ''
    code = lambda text: f'`` {text} ``'.replace('|', '\\|') if text else ''
    short = lambda text: text if len(text) < 60 else text[:56] + ' ...'
    head, lines = [what, 'type', 'default', ''], [[code(n), code(short(kind)), code(short(d)), plain(c)] for n, kind, d, c in rows]
    filled = [k for k in range(4) if any(line[k] for line in lines)]
    return '\n'.join('| ' + ' | '.join(line[k] for k in filled) + ' |' for line in [head, ['---'] * 4, *lines]) + '\n'


def plain(text: str) -> str:
    "A comment as markdown that means nothing but its words and its backticks."
    parts = text.split('`')
    parts[::2] = [re.sub(r'([\\*_<>\[\]{}$|])', r'\\\1', p) for p in parts[::2]]
    return '`'.join(parts).replace('\n', ' ')


def signature(f: ast.FunctionDef, name: str, width: int = 96) -> str:
    "`name(a, b=1) -> X` on one line, or one parameter to a line where that is too long."
    shown = ast.parse(ast.unparse(f)).body[0]
    shown.args.args = [a for a in shown.args.args if a.arg not in ('self', 'cls')]
    back = f' -> {ast.unparse(f.returns)}' if f.returns else ''
    line = f'{name}({ast.unparse(shown.args)}){back}'
    if len(line) <= width:
        return line
    parts = [ast.unparse(part) for part in one_by_one(shown.args)]
    return f'{name}(\n' + ''.join(f'    {p},\n' for p in parts) + f'){back}'


def one_by_one(a: ast.arguments) -> list[ast.arguments]:
    "Each parameter with its default as arguments of their own, so that `ast` writes them."
    make = lambda **kw: ast.arguments(**(dict(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]) | kw))
    plain = [*a.posonlyargs, *a.args]
    first = len(plain) - len(a.defaults)
    out = [make(args=[n], defaults=a.defaults[k - first:k - first + 1] if k >= first else []) for k, n in enumerate(plain)]
    out += [make(vararg=a.vararg)] if a.vararg else []
    out += [make(args=[n], defaults=[d] if d else []) for n, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    return out + ([make(kwarg=a.kwarg)] if a.kwarg else [])


def sentence(node) -> str:
    "The docstring, with its lines as paragraphs."
    return plain_doc(ast.get_docstring(node) or '')


def plain_doc(text: str) -> str:
    "A docstring as markdown: indented examples stay as they are, the rest is words."
    return '\n\n'.join(f'```text\n{p}\n```' if p.startswith('    ') else plain(p) for p in text.split('\n\n') if p)


def function(f: ast.FunctionDef, comments: dict, name: str, level: int) -> str:
    "A section on a function or method."
    mark = '' if level == 2 else f'({name.replace(".", "-").lower()})=\n'
    rows = arguments(f, comments)
    return f'{mark}{"#" * level} `{name}`\n\n```python\n{signature(f, name)}\n```\n\n{sentence(f)}\n\n{table(rows, "parameter")}\n'


def is_property(f: ast.FunctionDef) -> bool:
    return any(ast.unparse(d).endswith('property') for d in f.decorator_list)


def cls(c: ast.ClassDef, comments: dict) -> str:
    "A section on a class: what makes one, its properties, its methods."
    methods = [n for n in c.body if isinstance(n, ast.FunctionDef)]
    make = next((m for m in methods if m.name == '__init__'), None)
    bases = f'({", ".join(map(ast.unparse, c.bases))})' if c.bases else ''
    text = f'## `{c.name}`\n\n```python\nclass {c.name}{bases}\n```\n\n{sentence(c)}\n\n'
    if make:
        text += f'```python\n{signature(make, c.name)}\n```\n\n{table(arguments(make, comments), "parameter")}\n'
    text += table(fields(c, comments), 'field') + '\n'
    public = [m for m in methods if not m.name.startswith('_')]
    text += ''.join(f'- `{m.name}`: {sentence(m)}\n' for m in public if is_property(m)) + '\n'
    return text + ''.join(function(m, comments, f'{c.name}.{m.name}', 3) for m in public if not is_property(m))


def constant(node: ast.Assign, name: str, source: str) -> str:
    "A section on a value: how it is written, with its comment; the beginning, where that is long."
    lines = source.splitlines()[node.lineno - 1:node.end_lineno]
    text = '\n'.join(lines if len(lines) <= 12 else [*lines[:10], '...'])
    return f'## `{name}`\n\n```python\n{text}\n```\n'


def named(tree: ast.Module) -> dict[str, ast.AST]:
    "Top-level name -> what defines it first."
    found = {}
    for node in tree.body:
        targets = [node] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else \
            [t for target in getattr(node, 'targets', [getattr(node, 'target', None)]) for t in getattr(target, 'elts', [target])]
        for t in targets:
            name = getattr(t, 'name', None) or getattr(t, 'id', None)
            if name:
                found.setdefault(name, node)
    return found


def from_where(source: str) -> list[tuple[int, str, str]]:
    "(line, notebook, cell) of each cell in a module."
    return [(source[:m.start()].count('\n') + 1, m[1].rsplit('nbs/', 1)[1], m[2]) for m in CELL.finditer(source)]


def section(name: str, node, source: str, comments: dict) -> str:
    "What a page says of one name."
    if isinstance(node, ast.FunctionDef):
        return function(node, comments, name, 2)
    return cls(node, comments) if isinstance(node, ast.ClassDef) else constant(node, name, source)


def home_of(path: Path) -> tuple[str, ...]:
    "The packages below lp_nb in which a module lies."
    folders = path.parts[:-1]
    return folders[len(folders) - folders[::-1].index('lp_nb'):] if 'lp_nb' in folders else ()


def page(path: Path) -> str:
    "The page of the module at `path`."
    source = path.read_text(encoding='utf-8')
    tree, comments, cells = ast.parse(source), comments_of(source), from_where(source)
    defined = named(tree)
    public = [e.value for e in defined['__all__'].value.elts]
    home = home_of(path)
    text = f'# `lp_nb.{".".join((*home, path.stem))}`\n\n> {plain_doc(ast.get_docstring(tree) or path.stem)}\n\n'
    if cells:
        text += f'The source, with the why, an example and the tests, is the page [{Path(cells[0][1]).stem}](../{cells[0][1]}).\n\n'
    here = sorted((n for n in public if n in defined), key=lambda n: not isinstance(defined[n], (ast.FunctionDef, ast.ClassDef)))  # values last
    for name in here:
        _, notebook, cell = next(c for c in reversed(cells) if c[0] <= defined[name].lineno)
        body = section(name, defined[name], source, comments)
        text += body.rstrip() + f'\n\n<a class="source" href="../{notebook.removesuffix(".ipynb")}.html#{cell}">source</a>\n\n'
    full = lambda n: '.'.join(filter(None, (*home[:len(home) + 1 - n.level], n.module))) if n.level else n.module
    elsewhere = {a.name: full(n) for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    lent = [f'- `{n}`, of [{elsewhere[n]}]({elsewhere[n]}.md)' for n in public if n not in defined and n in elsewhere]
    return re.sub(r'\n{3,}', '\n\n', text + '\n'.join(lent)).rstrip() + '\n'
