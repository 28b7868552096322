// A plan as cards, as a line of text, and as a branch in the tree of the lab.
// Traits in: words, settings, cards, line, wrong, rows, more, said, seed, busy (and page on an exported page). Messages out: every click and line.

// Words of an error: lines that are indented (the plan and its mark) keep their columns.
function explain(parent, text) {
  for (const part of text.split('\n')) {
    if (!part.trim()) continue
    htmlElement(parent, part.startsWith('    ') ? 'pre' : 'span', '', part.startsWith('    ') ? part.slice(4) : part)
  }
  for (let pre = parent.querySelector('pre'); pre?.nextSibling?.tagName === 'PRE';) { pre.textContent += `\n${pre.nextSibling.textContent}`; pre.nextSibling.remove() }
}

function render({ model, el }) {
  const page = Boolean(model.get('page'))
  const root = rootElement(el, 'lp-composer', 'Plan composer')
  const send = message => model.send(message)
  const opened = new Set() // settings that are open on a card without having been changed: 'n.key'
  let wanted = null // the data-key of what is to have the focus after the next drawing

  // Buttons that add.
  const bar = htmlElement(root, 'div', 'lp-bar')
  const words = htmlElement(bar, 'div', 'lp-composer-words')
  words.setAttribute('role', 'group')
  words.setAttribute('aria-label', 'add to the plan')
  helpButton(bar, root, [
    ['a stage, a preset', 'adds it to the end of the plan'],
    ['a card', 'change a setting and press Enter; nothing typed is the default; ← → move the stage, ×2 repeats it, ✕ takes it away'],
    ['the line', 'the same plan as text: type, and the cards follow'],
    ['the tree', 'what the lab has for this cohort, these encoders and this seed; filled is finished, outlined is to do; click a row to take its plan'],
    ['Run', 'trains what is missing, with the live panel below; until then nothing is trained'],
  ])
  const cards = htmlElement(root, 'ol', 'lp-composer-cards')
  const entry = htmlElement(root, 'div', 'lp-composer-entry')
  const label = htmlElement(entry, 'label', '', 'plan')
  const line = htmlElement(label, 'input', 'lp-composer-line')
  line.type = 'text'
  line.spellcheck = false
  line.placeholder = 'e.g. mlm > contrastive > supervised'
  line.dataset.key = 'line'
  const lineError = htmlElement(root, 'div', 'lp-composer-wrong')
  lineError.id = `lp-composer-${Math.random().toString(36).slice(2)}`
  lineError.setAttribute('role', 'alert')
  line.setAttribute('aria-describedby', lineError.id)
  const foot = htmlElement(root, 'div', 'lp-composer-foot')
  const run = textButton(foot, 'Run', () => send({ type: 'run' }), { className: 'lp-composer-run' })
  const seedLabel = htmlElement(foot, 'label', 'lp-soft', 'seed ')
  const seed = htmlElement(seedLabel, 'input', 'lp-composer-seed')
  seed.type = 'text'
  seed.inputMode = 'numeric'
  const said = htmlElement(foot, 'span', 'lp-composer-said')
  said.setAttribute('role', 'status')
  const table = htmlElement(root, 'table', 'lp-composer-tree')

  let waiting = 0
  line.oninput = () => { clearTimeout(waiting); waiting = setTimeout(() => send({ type: 'line', line: line.value }), 250) }
  onKeys(line, { Enter: () => { clearTimeout(waiting); send({ type: 'line', line: line.value }) } })
  const setSeed = () => send({ type: 'seed', said: seed.value })
  seed.onchange = setSeed
  onKeys(seed, { Enter: setSeed })

  function drawWords() {
    words.replaceChildren()
    for (const kind of ['stage', 'preset']) {
      htmlElement(words, 'span', 'lp-composer-kind', kind === 'stage' ? 'add a stage' : 'or a preset')
      for (const { word, why } of model.get('words').filter(w => w.kind === kind))
        textButton(words, word, () => { wanted = `word.${word}`; send({ type: 'append', word }) }, { title: why, className: `lp-composer-${kind}` }).dataset.key = `word.${word}`
    }
    const clear = textButton(words, 'clear', () => { opened.clear(); send({ type: 'clear' }) }, { title: 'take all stages away', className: 'lp-composer-clear' })
    clear.dataset.key = 'clear'
  }

  function drawSetting(list, n, declared, value, wrong) {
    const { key, why, yesno, default: usual } = declared
    const row = htmlElement(list, 'div', 'lp-composer-setting')
    const name = htmlElement(row, 'label', '', key)
    name.title = why
    const typed = wrong && wrong.key === key ? wrong.typed : value
    if (page) { htmlElement(name, 'span', '', value); return }
    const field = htmlElement(name, yesno ? 'select' : 'input')
    field.title = why
    field.dataset.key = `${n}.${key}`
    if (yesno) for (const v of ['true', 'false']) htmlElement(field, 'option', '', v)
    field.value = typed
    let before = field.value
    const set = () => {
      if (field.value === before) return
      before = field.value
      wanted = field.dataset.key
      opened.add(`${n}.${key}`)
      send({ type: 'set', n, key, said: field.value })
    }
    field.onchange = set
    if (!yesno) onKeys(field, { Enter: set, Escape: () => { field.value = value } })
    const reset = textButton(row, '↺', () => { opened.delete(`${n}.${key}`); wanted = `${n}.add`; value === usual ? draw() : send({ type: 'set', n, key, said: '' }) }, { title: `back to ${usual}`, className: 'lp-composer-icon' })
    reset.setAttribute('aria-label', `${key} back to ${usual}`)
    if (wrong && wrong.key === key) {
      field.setAttribute('aria-invalid', 'true')
      const why = htmlElement(list, 'div', 'lp-composer-wrong')
      why.setAttribute('role', 'alert')
      explain(why, wrong.why)
    }
  }

  function drawCard({ name, settings }, n, count) {
    const item = htmlElement(cards, 'li', 'lp-composer-card')
    const head = htmlElement(item, 'div', 'lp-composer-head')
    htmlElement(head, 'span', 'lp-composer-number', String(n + 1))
    htmlElement(head, 'span', 'lp-composer-name', name)
    const act = (text, words, message, key, off) => {
      const button = textButton(head, text, () => { opened.clear(); wanted = key; send(message) }, { title: words, className: 'lp-composer-icon' })
      button.setAttribute('aria-label', `${words}: ${name}, stage ${n + 1}`)
      button.dataset.key = `${n}.${message.type}${message.by || ''}`
      button.disabled = off
    }
    if (!page) {
      act('←', 'move left', { type: 'move', n, by: -1 }, `${n - 1}.move-1`, n === 0)
      act('→', 'move right', { type: 'move', n, by: 1 }, `${n + 1}.move1`, n === count - 1)
      act('×2', 'repeat', { type: 'repeat', n }, `${n + 1}.repeat`, false)
      act('✕', 'take away', { type: 'remove', n }, n ? `${n - 1}.remove` : '0.remove', false)
    }
    const declared = model.get('settings')?.[name] || Object.entries(settings).map(([key]) => ({ key, why: '', default: '' }))
    const wrong = model.get('wrong')?.n === n ? model.get('wrong') : null
    const list = htmlElement(item, 'div', 'lp-composer-settings')
    const rest = []
    for (const d of declared) {
      if (d.key in settings || opened.has(`${n}.${d.key}`) || wrong?.key === d.key) drawSetting(list, n, d, settings[d.key] ?? d.default, wrong)
      else if (d.key !== 'touched') rest.push(d)
    }
    if (!list.childElementCount) htmlElement(list, 'small', '', 'default settings')
    if (page) return
    const add = htmlElement(item, 'select', 'lp-composer-add')
    add.setAttribute('aria-label', `change another setting of ${name}, stage ${n + 1}`)
    add.dataset.key = `${n}.add`
    htmlElement(add, 'option', '', 'change a setting …').value = ''
    for (const d of rest) {
      const option = htmlElement(add, 'option', '', `${d.key} = ${d.default}${d.why ? `   (${d.why})` : ''}`)
      option.value = d.key
    }
    add.onchange = () => { opened.add(`${n}.${add.value}`); wanted = `${n}.${add.value}`; draw() }
  }

  function drawCards() {
    cards.replaceChildren()
    const all = model.get('cards')
    all.forEach((c, n) => drawCard(c, n, all.length))
    if (!all.length) htmlElement(cards, 'li', 'lp-composer-none', 'No stage yet. Add one above, or type a plan below.')
  }

  function drawTree() {
    table.replaceChildren()
    const rows = model.get('rows')
    table.hidden = !rows.length
    const head = htmlElement(htmlElement(table, 'thead'), 'tr')
    for (const [text, kind] of [['in the lab, and the plan', ''], ['state', ''], ['validation', 'n'], ['time', 'n'], ['disk', 'n']]) htmlElement(head, 'th', kind, text).scope = 'col'
    const body = htmlElement(table, 'tbody')
    rows.forEach((row, k) => {
      const tr = htmlElement(body, 'tr', row.chosen ? 'chosen' : '')
      tr.dataset.state = row.state
      const first = htmlElement(tr, 'td', 'lp-composer-stage')
      first.style.setProperty('--depth', row.depth)
      htmlElement(first, 'span', 'lp-composer-dot').setAttribute('aria-hidden', 'true')
      if (page) htmlElement(first, 'span', 'lp-composer-take', row.stage)
      else {
        const take = textButton(first, row.stage, () => { opened.clear(); wanted = `row.${row.plan}`; send({ type: 'choose', plan: row.plan }) }, { title: `take the plan ${row.plan}`, className: 'lp-composer-take' })
        take.dataset.key = `row.${row.plan}`
      }
      for (const [text, kind] of [[row.said, ''], [row.score, 'n'], [row.time, 'n'], [row.disk, 'n']]) htmlElement(tr, 'td', kind, text)
    })
    if (model.get('more')) htmlElement(htmlElement(body, 'tr'), 'td', 'lp-soft', `and ${model.get('more')} more`).colSpan = 5
  }

  function draw() {
    const active = root.getRootNode().activeElement
    const key = wanted || (root.contains(active) ? active.dataset.key : null)
    const wrong = model.get('wrong') || {}
    drawCards()
    drawTree()
    if (line !== active || wanted) line.value = model.get('line')
    line.toggleAttribute('aria-invalid', Boolean(wrong.line))
    lineError.replaceChildren()
    if (wrong.line || wrong.seed) explain(lineError, wrong.line || wrong.seed)
    if (seed !== active || wanted) seed.value = model.get('seed')
    said.textContent = model.get('said')
    const refused = Object.keys(wrong).length > 0
    run.disabled = model.get('busy') || refused || !model.get('cards').length
    run.title = refused ? 'First correct what is marked' : ''
    run.textContent = model.get('busy') ? 'training below' : 'Run'
    const found = k => [...root.querySelectorAll('[data-key]')].find(e => e.dataset.key === k && !e.disabled)
    const target = key && (found(key) || found(key.replace(/move-?1$/, m => m === 'move1' ? 'move-1' : 'move1')))
    if (target && target !== active) target.focus()
    wanted = null
  }

  if (page) for (const part of [bar, run, seedLabel]) part.hidden = true
  if (page) line.readOnly = true
  else drawWords()
  return redrawOn(model, root, ['cards', 'line', 'wrong', 'rows', 'said', 'busy', 'seed'], draw)
}

export default { render }
