"The walkthrough in a real JupyterLab, as a reader would go through it: run, look, select, pause, stop, save."

import json
import re
import subprocess
from pathlib import Path

import pytest
from harness import ROOT, JupyterLab, Notebook, browser_page, copy_of, lasso, wait_for, why_not

from lp_nb.privacy import install_filter

LONG = "again = live.run('mlm(epochs=500) > contrastive(epochs=2)', seed=1)"  # a training that a hand must end

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f'no browser test: {why_not()}')


def git(folder, *command) -> str:
    "What a git command prints."
    return subprocess.run(['git', *command], cwd=folder, capture_output=True, text=True, check=True).stdout


def live_words(page) -> dict:
    "The panel's facts by name, and its status."
    found = page.evaluate("""() => [...document.querySelectorAll('.lp-live-facts > div')].map(d => [d.children[0].textContent, d.children[1].textContent])""")
    return dict(found) | dict(status=page.get_attribute('.lp-live', 'data-status'))


def step_now(page) -> int:
    "The step that the panel shows, 0 before the first."
    return int(re.match(r'\d+|$', live_words(page).get('step', '')).group() or 0)


def settled(page) -> int:
    "The step that the panel shows once the step under way, however slow, is done: the same for two seconds."
    def still():
        before = step_now(page)
        page.wait_for_timeout(2000)
        return step_now(page) == before
    wait_for(still, 'the pause to take hold', 60)
    return step_now(page)


@pytest.fixture(scope='module')
def walked(tmp_path_factory):
    "The walkthrough in a checkout with the filter, all cells run but a last one, whose training nobody would wait for."
    folder = tmp_path_factory.mktemp('checkout')
    git(folder, 'init', '-q')
    install_filter(folder)
    (folder / '.gitattributes').write_text('*.ipynb filter=lp-nb\n')
    name = copy_of('tutorials/walkthrough', folder, more=(LONG, 'again = live.run()'))
    with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1') as lab, browser_page(lab) as page:
        notebook = Notebook(lab, page, name)
        notebook.run_cells(-2)
        yield notebook


def test_the_walkthrough_runs_and_answers_to_hands(walked):
    assert walked.errors() == []
    assert walked.page.outside == []
    walked.page.query_selector('.noUi-handle').focus()
    walked.page.keyboard.press('Home')  # it opens where a label is seen best
    walked.until('explorer.stage == 0')
    walked.page.keyboard.press('ArrowRight')
    walked.until('explorer.stage == 1')
    assert 0 < lasso(walked) == walked.value('explorer.selection.index.isin(cohort.ids("test")).sum().item()')


def test_pause_resume_stop_and_go_on_while_the_cell_runs(walked):
    page = walked.page
    walked.start_cell(-2)
    panel = page.query_selector('.lp-live')
    panel.scroll_into_view_if_needed()
    wait_for(lambda: step_now(page) > 3, 'the training to begin', 60)
    panel.query_selector('.lp-live-pause').click()
    wait_for(lambda: live_words(page)['status'] == 'paused', 'the pause', 20)
    paused = settled(page)
    page.wait_for_timeout(1500)
    assert step_now(page) == paused
    panel.query_selector('.lp-live-pause').click()
    wait_for(lambda: step_now(page) > paused, 'the training to go on', 20)
    panel.query_selector('.lp-live-stop').click()
    wait_for(walked.is_done, 'the cell to end', 60)
    assert walked.errors() == []
    kept = walked.value("[(n['step'], n['plan']) for n in __import__('lp_nb.learning.shelf', fromlist=['x']).unfinished_nodes(lab.folder)]")
    assert kept[0][0] > paused and kept[0][1].startswith('mlm(epochs=500)')


def test_what_was_stopped_goes_on_from_its_checkpoint_and_can_be_ended(walked):
    page = walked.page
    walked.start_cell(-1)
    wait_for(lambda: live_words(page)['status'] == 'training', 'the training to go on', 60)
    assert wait_for(lambda: step_now(page), 'its step', 30) > 3
    page.query_selector('.lp-live .lp-live-end').click()  # ends the long stage; the short one follows
    wait_for(walked.is_done, 'the cell to end', 120)
    assert walked.errors() == []
    assert walked.value('"touched" in str(again.plan) and len(again.stages)') == 3


def test_git_sees_no_output_and_no_widget_state(walked):
    page = walked.page
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    path = Path(walked.lab.root) / walked.path
    wait_for(lambda: any(c.get('outputs') for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code'), 'the file to be written', 20)
    git(path.parent, 'add', path.name)
    seen = json.loads(git(path.parent, 'show', f':{path.name}'))
    assert list(seen['metadata']) == ['kernelspec']
    assert not any(c.get('outputs') or c.get('execution_count') or c['metadata'] for c in seen['cells'])
