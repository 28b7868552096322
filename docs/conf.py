"How Sphinx draws the pages that docs/pages.py wrote. Nothing here runs a notebook, and no page asks another host for anything."
import re
from configparser import ConfigParser
from pathlib import Path

from docutils import nodes
from docutils.utils.math import latex2mathml

ini = ConfigParser(delimiters=['='])
ini.read(Path(__file__).parents[1] / 'settings.ini', encoding='utf-8')
ini = ini['DEFAULT']

project, author, release = ini['lib_name'], ini['author'], ini['version']
project_copyright = ini['copyright']
extensions = ['myst_nb']
exclude_patterns = ['_build']
nb_execution_mode = 'off'
nb_output_stderr = 'remove'
nb_merge_streams = True
nb_mime_priority_overrides = [('html', 'application/vnd.jupyter.widget-view+json', None)]
myst_enable_extensions = ['amsmath', 'dollarmath', 'attrs_inline']
myst_dmath_double_inline = True
myst_heading_anchors = 4
html_math_renderer = 'mathml'
html_theme = 'furo'
html_title = f'{project} {release}'
html_static_path = [str(Path(__file__).parent / 'static')]
html_css_files = ['site.css']
html_show_sourcelink = html_copy_source = html_show_sphinx = html_show_search_summary = False
html_theme_options = dict(navigation_with_keys=True, top_of_page_buttons=[])
pygments_style, pygments_dark_style = 'friendly', 'github-dark'


def mathml(tex: str, block: bool) -> str:
    "A formula as MathML, which browsers draw by themselves; they also choose the size of its brackets."
    tex = re.sub(r'\\[Bb]igg?[lr]?(?![a-zA-Z])', '', tex)
    tex = re.sub(r'\\([td]?frac)\s*(\w)(\w)', r'\\\1{\2}{\3}', tex)
    return str(latex2mathml.tex2mathml(tex, as_block=block))


def visit_inline(self, node):
    self.body.append(mathml(node.astext(), False))
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="math">{mathml(node.astext(), True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
