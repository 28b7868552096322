// Verdicts as a list with filters, and beside it the chosen claim: statement, effect, seeds, curves, arms.
// Traits in: claims, curves, curves_of, marks, worlds, world_says. Both ways: world, group, verdicts (filters), chosen ('claim|world').

const exists = v => v !== null && v !== undefined && Number.isFinite(v)
// Ticks, with what is zero but for rounding as zero.
const evenTicks = (low, high, log, about) => niceTicks(low, high, log, about).map(v => Math.abs(v) < 1e-9 * (high - low) ? 0 : v)
const upper = text => text[0].toUpperCase() + text.slice(1)
const NO_CURVE = 'No trajectory was kept of what this claim compares.'
const tickText = v => number(v).replace('-', '−')

function render({ model, el }) {
  const root = rootElement(el, 'lp-claims', 'Claims board')
  const bar = htmlElement(root, 'div', 'lp-bar')
  const filters = htmlElement(bar, 'div', 'lp-claims-filters')
  helpButton(bar, root, [
    ['↑ ↓, Home, End', 'walk through the list'],
    ['world, source, verdict', 'what the list shows; a verdict can be switched off'],
    ['● holds', 'decided for the claim'], ['✕ fails', 'decided against it'], ['◆ undecided', 'the seeds decide neither way'],
    ['– not run', 'this world has no evidence for the claim'],
  ])
  const body = htmlElement(root, 'div', 'lp-claims-body')
  const list = htmlElement(body, 'div', 'lp-claims-list')
  list.tabIndex = 0
  list.setAttribute('role', 'listbox')
  list.setAttribute('aria-label', 'Claims')
  const panel = htmlElement(body, 'section', 'lp-claims-panel')
  panel.setAttribute('aria-live', 'polite')
  panel.setAttribute('aria-label', 'The chosen claim')
  const id = `lp-claims-${Math.random().toString(36).slice(2)}`
  const set = (name, value) => { model.set(name, value); model.save_changes() }
  const gloss = world => model.get('world_says')[world] ? `${world}: ${model.get('world_says')[world]}` : world
  const color = verdict => themed(model.get('marks')[verdict][1] || 'var(--lp-soft)')

  const letsThrough = (c, but = '') => (but === 'world' || !model.get('world') || c.world === model.get('world'))
    && (but === 'group' || !model.get('group') || c.group === model.get('group'))
    && (but === 'verdicts' || !model.get('verdicts').length || model.get('verdicts').includes(c.verdict))
  const seen = () => model.get('claims').filter(c => letsThrough(c))
  const chosen = () => seen().find(c => c.key === model.get('chosen')) || seen()[0]

  function chip(parent, verdict) {
    const span = htmlElement(parent, 'span', `lp-claims-chip ${verdict.replace(' ', '-')}`)
    const sign = htmlElement(span, 'span', 'sign', model.get('marks')[verdict][0])
    sign.style.color = color(verdict)
    sign.setAttribute('aria-hidden', 'true')
    htmlElement(span, 'span', '', verdict)
    return span
  }

  function choice(label, options, name) {
    const field = htmlElement(filters, 'label', 'lp-claims-choice')
    htmlElement(field, 'span', 'lp-soft', label)
    const select = htmlElement(field, 'select')
    for (const [value, text] of [['', 'all'], ...options]) {
      const option = htmlElement(select, 'option', '', text)
      option.value = value
    }
    select.value = model.get(name)
    select.dataset.name = name
    select.onchange = () => set(name, select.value)
  }

  function flip(verdict) {
    const all = Object.keys(model.get('marks')), on = model.get('verdicts').length ? model.get('verdicts') : all
    const next = on.includes(verdict) ? on.filter(v => v !== verdict) : [...on, verdict]
    set('verdicts', next.length === all.length || !next.length ? [] : next)
  }

  function drawFilters() {
    const focus = filters.contains(document.activeElement) ? document.activeElement.dataset.name : null
    filters.replaceChildren()
    if (model.get('worlds').length > 1) choice('world', model.get('worlds').map(w => [w, gloss(w)]), 'world')
    const groups = [...new Set(model.get('claims').map(c => c.group))]
    filters.querySelector('select[data-name="world"]')?.setAttribute('title', model.get('worlds').map(gloss).join('; '))
    if (groups.length > 1) choice('source', groups.map(g => [g, g]), 'group')
    for (const verdict of Object.keys(model.get('marks'))) {
      const count = model.get('claims').filter(c => c.verdict === verdict && letsThrough(c, 'verdicts')).length
      const on = !model.get('verdicts').length || model.get('verdicts').includes(verdict)
      const button = textButton(filters, '', () => flip(verdict), { pressed: on, className: 'lp-claims-toggle' })
      button.dataset.name = verdict
      chip(button, verdict)
      htmlElement(button, 'span', 'lp-soft', ` ${count}`)
    }
    if (focus) filters.querySelector(`[data-name="${focus}"]`)?.focus()
  }

  function drawList() {
    const focused = document.activeElement === list, scroll = list.scrollTop, shown = seen()
    const alone = model.get('worlds').length < 2 || model.get('world')
    list.replaceChildren()
    if (!shown.length) htmlElement(list, 'p', 'lp-soft', 'The filters let no claim through.')
    let group, part
    shown.forEach((c, i) => {
      if (c.group !== group) {
        group = c.group
        part = htmlElement(list, 'div', 'lp-claims-group')
        part.setAttribute('role', 'group')
        part.setAttribute('aria-label', group)
        htmlElement(part, 'div', 'title', group)
      }
      const row = htmlElement(part, 'div', 'lp-claims-row')
      row.id = `${id}-${i}`
      row.dataset.key = c.key
      row.setAttribute('role', 'option')
      htmlElement(row, 'span', 'name', c.claim)
      if (!alone) htmlElement(row, 'span', 'world', c.world)
      chip(row, c.verdict)
      row.onclick = () => { set('chosen', c.key); list.focus({ preventScroll: true }) }
    })
    list.scrollTop = scroll
    if (focused) list.focus({ preventScroll: true })
    markChosen()
  }

  function markChosen() {
    const at = chosen()?.key
    list.removeAttribute('aria-activedescendant')
    for (const row of list.querySelectorAll('.lp-claims-row')) {
      const on = row.dataset.key === at
      row.setAttribute('aria-selected', String(on))
      if (!on) continue
      list.setAttribute('aria-activedescendant', row.id)
      const top = row.getBoundingClientRect().top - list.getBoundingClientRect().top, under = row.parentElement.firstChild.offsetHeight + 2
      if (top < under) list.scrollTop += top - under // the title of its group stays above it
      else if (top + row.offsetHeight > list.clientHeight) list.scrollTop += top + row.offsetHeight - list.clientHeight + 6
    }
  }

  function step(by) {
    const shown = seen()
    if (!shown.length) return
    const at = shown.indexOf(chosen())
    set('chosen', shown[Math.max(0, Math.min(shown.length - 1, at + by))].key)
  }

  // The panel

  function drawEffect(c, width) {
    if (!exists(c.effect)) return
    const margins = { equal: [-c.margin, c.margin], bound: [-c.margin] }[c.kind] || []
    const ends = [0, c.effect, c.low, c.high, ...c.readings, ...margins].filter(exists)
    let low = Math.min(...ends), high = Math.max(...ends)
    const pad = 0.08 * (high - low || 1), foot = c.readings.length ? 58 : 40
    low -= pad; high += pad
    const x = v => 8 + (v - low) / (high - low) * (width - 16)
    const svg = svgElement(panel, 'svg', { class: 'effect', width, height: foot + 20, role: 'img', 'aria-label': c.says })
    for (const tick of evenTicks(low, high, false, Math.round(width / 80))) {
      svgElement(svg, 'line', { class: 'grid', x1: x(tick), x2: x(tick), y1: 4, y2: foot })
      svgElement(svg, 'text', { class: 'tick', x: x(tick), y: foot + 14 }, tickText(tick))
    }
    if (c.kind === 'equal') svgElement(svg, 'rect', { class: 'margin', x: x(-c.margin), width: x(c.margin) - x(-c.margin), y: 4, height: foot - 4 })
    svgElement(svg, 'line', { class: 'zero', x1: x(0), x2: x(0), y1: 2, y2: foot })
    const paint = color(c.verdict), y = 20
    if (exists(c.low) && exists(c.high)) svgElement(svg, 'line', { x1: x(c.low), x2: x(c.high), y1: y, y2: y, stroke: paint, 'stroke-width': 3 })
    svgElement(svg, 'circle', { cx: x(c.effect), cy: y, r: 5, fill: paint })
    c.readings.forEach((v, i) => exists(v) && svgElement(svg, 'circle', { class: 'seed', cx: x(v), cy: 40 + 3.5 * (i % 4), r: 3.2, stroke: paint }))
  }

  function drawSeeds(c) {
    const total = c.agree + c.ties + c.against
    if (!total) return
    const line = htmlElement(panel, 'p', 'seeds')
    const [yes, no] = c.kind === 'order' ? ['as claimed', 'against'] : ['above zero', 'below zero']
    const [good, bad] = c.kind === 'equal' ? ['undecided', 'undecided'] : ['holds', 'fails']
    const said = [[c.agree, '●', yes, good], [c.ties, '○', c.ties === 1 ? 'tie' : 'ties', 'undecided'], [c.against, '✕', no, bad]].filter(([n]) => n)
    for (const [n, sign, , like] of said) {
      const marks = htmlElement(line, 'span', 'marks', sign.repeat(n))
      marks.style.color = color(like)
      marks.setAttribute('aria-hidden', 'true')
    }
    htmlElement(line, 'span', '', `${total} seeds: ${said.map(([n, , what]) => `${n} ${what}`).join(', ')}`)
    if (!c.readings.length) htmlElement(line, 'span', 'lp-soft', ' (values by seed were not kept)')
  }

  function drawCurves(c, width) {
    const shown = c.curves.map(key => model.get('curves')[key])
    htmlElement(panel, 'h4', '', 'Its curves')
    if (!shown.length) {
      htmlElement(panel, 'p', 'lp-soft', c.elsewhere ? `Trajectories of this measure were kept of world ${model.get('curves_of')} only.` : NO_CURVE)
      return
    }
    const row = htmlElement(panel, 'div', 'lp-claims-curves'), w = Math.floor((width - 16 * (shown.length - 1)) / shown.length)
    const values = shown.flatMap(s => s.seeds.flat()).filter(exists), log = Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 5
    for (const [i, one] of shown.entries()) curve(row, one, w, values, log, i === 0)
    const mean = log ? 'geometric mean; logarithmic' : 'mean'
    const what = `${shown[0].measure}, ${shown[0].seeds.length} seeds, the thick line their ${mean}`
    htmlElement(panel, 'p', 'lp-soft', `${what}. Steps within a stage are logarithmic.`)
  }

  function curve(parent, one, w, values, log, first) {
    const h = 170, left = 48, right = 8, top = 22, bottom = 10, f = log ? Math.log : v => v
    let low = f(Math.min(...values)), high = f(Math.max(...values))
    const pad = 0.06 * (high - low || 1)
    low -= pad; high += pad
    const label = `${one.measure} along ${one.plan}: ${one.seeds.length} seeds`
    const svg = svgElement(parent, 'svg', { width: w, height: h, role: 'img', 'aria-label': label })
    const y = v => h - bottom - (f(v) - low) / (high - low) * (h - top - bottom), [x0, x1] = [one.spans[0][0], one.spans.at(-1)[1]]
    const x = v => left + (v - x0) / (x1 - x0 || 1) * (w - left - right)
    const ticks = log ? niceTicks(Math.exp(low), Math.exp(high), true) : evenTicks(low, high)
    let above = Infinity
    for (const tick of ticks) {
      svgElement(svg, 'line', { class: 'grid', x1: left, x2: w - right, y1: y(tick), y2: y(tick) })
      if (above - y(tick) < 14) continue
      above = y(tick)
      svgElement(svg, 'text', { class: 'end', x: left - 5, y: y(tick) + 4 }, number(tick))
    }
    for (const [a, b, name] of one.spans) {
      svgElement(svg, 'text', { class: 'tick ink', x: x((a + b) / 2), y: 13 }, name)
      if (a > x0) svgElement(svg, 'line', { class: 'border', x1: x(a), x2: x(a), y1: top, y2: h - bottom })
    }
    const path = ys => ys.map((v, i) => exists(v) ? `${i ? 'L' : 'M'}${x(one.x[i]).toFixed(1)},${y(v).toFixed(1)}` : '').join('')
    for (const seed of one.seeds) svgElement(svg, 'path', { class: 'seed', d: path(seed) })
    svgElement(svg, 'path', { class: 'mean', d: path(log ? one.gmean : one.mean) })
    svgElement(svg, 'text', { class: 'plan', x: w - right - 4, y: top + 13 }, one.plan)
  }

  function drawArms(c) {
    if (!c.arms.length) return
    htmlElement(panel, 'h4', '', 'Means of the arms')
    for (const { measure, values } of c.arms) {
      const most = Math.max(...values.map(v => Math.abs(v[1]))), table = htmlElement(panel, 'table', 'arms')
      htmlElement(table, 'caption', '', measure)
      for (const [arm, value] of values) {
        const row = htmlElement(table, 'tr')
        htmlElement(row, 'th', '', arm)
        const fill = htmlElement(htmlElement(row, 'td', 'track'), 'div', 'fill')
        fill.style.width = `${100 * Math.abs(value) / (most || 1)}%`
        htmlElement(row, 'td', 'n', number(value))
      }
    }
  }

  function drawPanel() {
    const c = chosen()
    panel.replaceChildren()
    if (!c) return
    const width = Math.max(280, panel.clientWidth - 26)
    const head = htmlElement(panel, 'div', 'head')
    htmlElement(head, 'h3', '', c.claim)
    if (c.world) htmlElement(head, 'span', 'lp-soft', `world ${gloss(c.world)}`)
    chip(head, c.verdict).classList.add('large')
    htmlElement(panel, 'p', 'statement', c.statement)
    htmlElement(panel, 'p', 'lp-soft', `${upper(c.source)}${c.expected ? `, which must come out as ${c.expected}` : ''}. ${c.kind_says}`)
    drawEffect(c, width)
    if (c.says) htmlElement(panel, 'p', '', c.says)
    drawSeeds(c)
    htmlElement(panel, 'p', 'reason', `${upper(c.reason)}${/[.)]$/.test(c.reason) ? '' : '.'}`)
    if (c.p_says) htmlElement(panel, 'p', 'lp-soft', c.p_says)
    if (c.verdict !== 'not run') { drawCurves(c, width); drawArms(c) }
  }

  function draw() {
    root.classList.toggle('wide', root.clientWidth >= 760)
    drawFilters()
    drawList()
    drawPanel()
  }

  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e6, End: 1e6 }
  onKeys(list, Object.fromEntries(Object.entries(moves).map(([key, by]) => [key, () => step(by)])))
  const follow = () => { markChosen(); drawPanel() }
  model.on('change:chosen', follow)
  const clean = redrawOn(model, root, ['claims', 'curves', 'marks', 'worlds', 'world', 'group', 'verdicts'], draw)
  return () => { clean(); model.off('change:chosen', follow) }
}

export default { render }
