// A flow chart of a cohort: the main line, who was left out beside it, the splits below, and a panel that explains the chosen box.
// Traits in: charts ({ unit, rows: [{ main, side }], parts }), note. Both ways: unit, chosen (the key of a box).

const HEAD = 5 // pixels: half the width of an arrow's head

function render({ model, el }) {
  const root = rootElement(el, 'lp-flow', 'Cohort flow')
  const bar = htmlElement(root, 'div', 'lp-bar')
  const units = htmlElement(bar, 'div', 'lp-flow-units')
  units.setAttribute('role', 'group')
  units.setAttribute('aria-label', 'What is counted')
  helpButton(bar, root, [
    ['click a box', 'the panel says which rule made it, how many, and what share of those before'],
    ['↑ ↓', 'walk along the main line; → to those who were left out or the next split, ← back'],
    ['stays, reports …', 'what is counted: each has its own way through the rules'],
    ['<10, hidden', 'counts under ten are not in this page, nor is any count that would give one away'],
  ])
  const body = htmlElement(root, 'div', 'lp-flow-body')
  const canvas = htmlElement(body, 'div', 'lp-flow-canvas')
  const panel = htmlElement(body, 'section', 'lp-flow-panel')
  panel.setAttribute('aria-live', 'polite')
  panel.setAttribute('aria-label', 'About the chosen box')
  const note = htmlElement(root, 'p', 'lp-soft lp-flow-note')
  let arrows

  const chart = () => model.get('charts').find(c => c.unit === model.get('unit')) || model.get('charts')[0]
  const ordered = () => [...chart().rows.flatMap(row => [row.side, row.main]).filter(Boolean), ...chart().parts]
  const chosen = () => ordered().find(box => box.key === model.get('chosen')) || ordered()[Math.min(1, ordered().length - 1)]
  const choose = key => { model.set('chosen', key); model.save_changes() }
  const boxElement = key => canvas.querySelector(`[data-key="${key}"]`)

  function go(key) {
    if (!key) return
    choose(key)
    boxElement(key)?.focus()
  }

  // The neighbour of a box in a direction, if there is one.
  function neighbour(key, way) {
    const [kind, number] = key.split(' '), { rows, parts } = chart(), i = +number
    const at = { main: { down: rows[i + 1]?.main ?? parts[0], up: rows[i - 1]?.main, right: rows[i + 1]?.side ?? rows[i]?.side },
      side: { down: rows.slice(i + 1).find(row => row.side)?.side, up: rows.slice(0, i).findLast(row => row.side)?.side, left: rows[i]?.main },
      part: { up: rows.at(-1).main, right: parts[i + 1], left: parts[i - 1] } }[kind][way]
    return at?.key
  }

  function drawBox(parent, box, kind) {
    const button = htmlElement(parent, 'button', `lp-flow-box ${kind}`)
    button.type = 'button'
    button.dataset.key = box.key
    htmlElement(button, 'strong', '', box.head)
    const lines = htmlElement(button, 'span', 'lines')
    for (const [count, text] of box.rows) {
      if (count) htmlElement(lines, 'span', 'count', count)
      htmlElement(lines, 'span', count ? 'text' : 'text alone', text)
    }
    button.onclick = () => choose(box.key)
    const move = way => () => go(neighbour(box.key, way))
    onKeys(button, { ArrowDown: move('down'), ArrowUp: move('up'), ArrowRight: move('right'), ArrowLeft: move('left') })
  }

  function drawUnits() {
    units.replaceChildren()
    for (const { unit } of model.get('charts'))
      textButton(units, unit, () => {
        model.set('unit', unit)
        model.set('chosen', '')
        model.save_changes()
        units.querySelector('[aria-pressed="true"]').focus()
      }, { pressed: unit === chart().unit })
    units.hidden = model.get('charts').length < 2
  }

  function drawBoxes() {
    canvas.replaceChildren()
    arrows = svgElement(canvas, 'svg', { class: 'arrows', 'aria-hidden': 'true' })
    const grid = htmlElement(canvas, 'div', 'lp-flow-grid')
    chart().rows.forEach(({ main, side }) => {
      if (side) { htmlElement(grid, 'span', 'gap'); drawBox(grid, side, 'side') }
      drawBox(grid, main, 'main')
    })
    if (!chart().parts.length) return
    const parts = htmlElement(canvas, 'div', 'lp-flow-parts')
    for (const part of chart().parts) drawBox(parts, part, 'part')
  }

  function arrow(points) {
    svgElement(arrows, 'polyline', { points: points.map(p => p.join(',')).join(' ') })
    const [[x0, y0], [x, y]] = points.slice(-2)
    const tip = y > y0 ? [[x, y], [x - HEAD, y - 9], [x + HEAD, y - 9]] : [[x, y], [x - 9, y - HEAD], [x - 9, y + HEAD]]
    svgElement(arrows, 'polygon', { points: tip.map(p => p.join(',')).join(' ') })
  }

  function drawArrows() {
    arrows.replaceChildren()
    const frame = canvas.getBoundingClientRect()
    const place = key => {
      const box = boxElement(key).getBoundingClientRect()
      return { left: box.left - frame.left, top: box.top - frame.top, right: box.right - frame.left, bottom: box.bottom - frame.top }
    }
    const { rows, parts } = chart()
    for (let i = 1; i < rows.length; i++) {
      const above = place(rows[i - 1].main.key), below = place(rows[i].main.key), x = Math.round((above.left + above.right) / 2)
      arrow([[x, above.bottom], [x, below.top]])
      if (!rows[i].side) continue
      const side = place(rows[i].side.key), y = Math.round((side.top + side.bottom) / 2)
      arrow([[x, y], [side.left, y]])
    }
    const last = parts.length && place(rows.at(-1).main.key)
    for (const part of parts) {
      const at = place(part.key), x = Math.round((last.left + last.right) / 2)
      const to = x > at.left + 30 && x < at.right - 30 ? x : Math.round((at.left + at.right) / 2) // straight down where there is a box
      const middle = Math.round((last.bottom + at.top) / 2)
      arrow([[x, last.bottom], [x, middle], [to, middle], [to, at.top]])
    }
  }

  function drawRules(rules) {
    for (const { switch: name, meaning, here, presets } of rules) {
      const rule = htmlElement(panel, 'div', 'rule')
      const title = htmlElement(rule, 'div', 'title')
      htmlElement(title, 'code', '', here ? `${name} = ${here}` : name)
      htmlElement(rule, 'div', 'lp-soft', meaning)
      const list = htmlElement(rule, 'ul', 'presets')
      for (const [preset, value, differs] of presets) {
        const item = htmlElement(list, 'li', differs ? 'differs' : '')
        htmlElement(item, 'span', 'lp-soft', `${preset} `)
        htmlElement(item, 'span', 'value', value)
        if (differs) htmlElement(item, 'span', 'lp-soft', ' differs')
      }
    }
  }

  function drawPanel() {
    const box = chosen()
    panel.replaceChildren()
    for (const button of canvas.querySelectorAll('.lp-flow-box')) {
      const on = button.dataset.key === box.key
      button.setAttribute('aria-pressed', String(on))
      button.tabIndex = on ? 0 : -1
    }
    htmlElement(panel, 'h3', '', box.head)
    for (const sentence of box.says) htmlElement(panel, 'p', '', sentence)
    if (box.counts.length) {
      const table = htmlElement(panel, 'table')
      for (const [count, share, reason] of box.counts) {
        const row = htmlElement(table, 'tr')
        htmlElement(row, 'td', 'n', count)
        htmlElement(row, 'td', 'n', share || '–')
        htmlElement(row, 'td', '', reason)
      }
    }
    if (box.rules.length) htmlElement(panel, 'h4', '', box.rules.length > 1 ? 'The switches that decide it' : 'The switch that decides it')
    drawRules(box.rules)
  }

  function draw() {
    const focus = canvas.contains(document.activeElement)
    root.classList.toggle('wide', root.clientWidth >= 820)
    drawUnits()
    drawBoxes()
    drawPanel()
    drawArrows()
    note.textContent = model.get('note')
    if (focus) boxElement(chosen().key)?.focus()
  }

  const follow = () => { drawPanel() }
  model.on('change:chosen', follow)
  const watch = new ResizeObserver(drawArrows)
  const clean = redrawOn(model, root, ['charts', 'unit', 'note'], draw)
  watch.observe(canvas)
  return () => { clean(); watch.disconnect(); model.off('change:chosen', follow) }
}

export default { render }
