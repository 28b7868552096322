// One stay: facts, chart, reports with highlights, nearest stays; or several stays at a glance. One script for the case panel and the stay viewer.
// Traits in: chart, report_hours, facts, outcomes, pieces, legend, near, stages, kinds, labels, split, pool, note, busy, several, trail, places, choices, count.
// Both ways: stay, stage, highlight, unit, label, seek, at (place in the trail), among, only, place, wanted.

const GROUP_COLORS = { 'Vital signs': '#0072B2', Laboratory: '#D55E00', 'Coma scale': '#009E73', Other: '#CC79A7' }
const PANEL = { height: 96, left: 30, right: 6, top: 9, bottom: 70, strip: 75, widest: 205 } // pixels
const percent = v => `${Math.round(100 * v)} %`

function render({ model, el }) {
  const get = (name, otherwise) => model.get(name) ?? otherwise
  const set = (name, value) => { model.set(name, value); model.save_changes() }
  const browsing = get('places', []).length > 0, ofRun = get('stages', []).length > 0
  const root = rootElement(el, 'lp-case', browsing ? 'Stay viewer' : 'Case')
  const head = htmlElement(root, 'div', 'lp-bar lp-case-head')
  const title = htmlElement(head, 'b', 'lp-case-title')
  title.setAttribute('aria-live', 'polite')

  // Moving from stay to stay

  const walk = by => {
    const [name, last] = browsing ? ['place', get('count', 0) - 1] : ['at', get('trail', []).length - 1], to = get(name, -1) + by
    if (to >= 0 && to <= last) set(name, to)
  }
  const steps = htmlElement(head, 'span', 'lp-case-steps')
  const back = textButton(steps, '‹', () => walk(-1), { title: browsing ? 'Previous stay ([)' : 'The stay seen before ([)' })
  const where = htmlElement(steps, 'small')
  const forth = textButton(steps, '›', () => walk(1), { title: browsing ? 'Next stay (])' : 'The stay seen after (])' })
  back.setAttribute('aria-label', back.title)
  forth.setAttribute('aria-label', forth.title)
  if (browsing) viewerControls()
  helpButton(head, root, [
    ['[ and ]', browsing ? 'the previous and the next stay that passes the filter' : 'back and forward among the stays seen'],
    ...(browsing ? [['stay id, Enter', 'look a stay up, whether or not it passes the filter']] : []),
    ['point at the chart', 'read all variables at one hour; click to keep the hour'],
    ['← →, Home, End', 'move the hour once the chart has the focus; Escape lets it go'],
    ['dot, line, dashes', 'charted in that hour; what the model is given; what stands in before anything was charted'],
    ['ticks below a panel', 'the masks: hours with a charted value'],
    ...(ofRun ? [['highlight', 'computed when it is chosen; ← → walk through the words once the text has the focus'],
      ['neighbours', 'click one, or press Enter on it, to open its case; kept: it was near after the stage before']] : []),
  ])
  if (browsing || ofRun) onKeys(root, { '[': () => walk(-1), ']': () => walk(1) })

  function choice(parent, name, options, value, act) {
    const label = htmlElement(parent, 'label', 'lp-case-choice')
    if (name) htmlElement(label, 'span', 'lp-soft', name)
    const select = htmlElement(label, 'select')
    for (const [key, text] of options) {
      const option = htmlElement(select, 'option', '', text)
      option.value = key
    }
    select.value = value
    if (!name) select.setAttribute('aria-label', 'Filter')
    select.onchange = () => act(select.value)
    return label
  }

  function viewerControls() {
    const search = htmlElement(head, 'input', 'lp-case-search')
    search.placeholder = 'stay id'
    search.setAttribute('aria-label', 'Stay id')
    onKeys(search, { Enter: () => { set('wanted', ''); set('wanted', search.value) } })
    choice(head, '', get('places', []), get('among', ''), value => set('among', value))
    choice(head, '', get('choices', []), get('only', ''), value => set('only', value))
  }

  const body = htmlElement(root, 'div')
  const note = htmlElement(body, 'div', 'lp-case-note')
  note.setAttribute('role', 'status')
  const known = htmlElement(body, 'div', 'lp-case-known')
  const chartBox = htmlElement(body, 'div')
  const reportBox = htmlElement(body, 'div')
  const nearBox = htmlElement(body, 'div')

  // Head, facts, outcomes

  function drawHead() {
    const stay = get('stay', null), several = get('several', {}), count = get('count', 0), place = get('place', -1)
    title.textContent = stay !== null ? `Stay ${stay}` : several.n ? `${several.n.toLocaleString('en')} stays selected`
      : get('chart', []).length ? 'A stay of a made-up hospital' : ofRun ? 'No stay selected' : ''
    const [at, last] = browsing ? [place, count - 1] : [get('at', -1), get('trail', []).length - 1]
    back.disabled = at <= 0
    forth.disabled = at >= last
    where.textContent = !browsing ? '' : place < 0 ? `not among the ${count.toLocaleString('en')}` : `${(place + 1).toLocaleString('en')} of ${count.toLocaleString('en')}`
    steps.hidden = browsing ? false : last < 1
    note.textContent = get('busy', '') ? `Computing: ${get('busy')} …` : get('note', '')
    note.classList.toggle('busy', Boolean(get('busy', '')))
    note.hidden = !note.textContent
  }

  function drawKnown() {
    known.replaceChildren()
    if (get('stay', null) === null) {
      if (get('several', {}).n) drawSeveral()
      else if (ofRun) htmlElement(known, 'p', 'lp-soft', 'Select a stay to see its chart, its reports and its neighbours; several to see how they differ from the rest.')
      return
    }
    const facts = htmlElement(known, 'div', 'lp-case-facts')
    for (const [name, text] of [['split', get('split', '')], ...get('facts', []).filter(f => f[0] !== 'split')]) {
      const pair = htmlElement(facts, 'div')
      htmlElement(pair, 'span', 'what', name)
      htmlElement(pair, 'span', '', text)
    }
    const many = get('outcomes', []).length > 4
    const predicted = get('outcomes', []).some(o => o[2] !== null)
    if (many) htmlElement(known, 'small', 'lp-case-wide', `● came true, ○ did not${predicted ? '; the bar is the predicted risk' : ''}`)
    const list = htmlElement(known, 'ul', `lp-case-outcomes${many ? ' many' : ''}`)
    for (const [label, came, risk] of get('outcomes', [])) {
      const row = htmlElement(list, 'li', came ? 'came' : '')
      htmlElement(row, 'span', 'mark', came ? '●' : '○')
      htmlElement(row, 'span', 'name', label)
      htmlElement(row, 'span', many ? 'lp-case-unseen' : 'word', came ? 'yes' : 'no')
      if (risk === null) continue
      const bar = htmlElement(row, 'span', 'bar')
      htmlElement(bar, 'span').style.width = `${100 * risk}%`
      htmlElement(row, 'span', 'risk', `${many ? '' : 'risk '}${risk.toFixed(risk < 0.01 ? 3 : 2)}`)
    }
  }

  // Several stays

  function drawSeveral() {
    const s = get('several'), count = v => v.toLocaleString('en')
    htmlElement(known, 'p', 'lp-soft lp-case-wide', `${count(s.n)} of ${count(s.all)} stays, ${count(s.patients)} ${s.patients === 1 ? 'patient' : 'patients'}; `
      + s.splits.map(([name, n]) => `${name} ${count(n)}`).join(', ') + (s.predicted && s.predicted < s.n ? `; ${count(s.predicted)} have a prediction` : ''))
    const table = htmlElement(htmlElement(known, 'div', 'lp-case-scroll'), 'table'), top = htmlElement(htmlElement(table, 'thead'), 'tr')
    const risky = Object.keys(s.risks).length > 0
    for (const [text, kind] of [['label', ''], ['rate (95 %)', 'n'], ['all', 'n'], ['', ''], ...(risky ? [['mean risk', 'n'], ['all', 'n']] : [])]) htmlElement(top, 'th', kind, text)
    const rows = htmlElement(table, 'tbody'), full = Math.max(0.05, ...s.rates.flatMap(r => [r[3], r[4]]))
    for (const [label, rate, low, high, all] of s.rates) {
      const row = htmlElement(rows, 'tr'), x = v => 4 + 152 * v / full
      htmlElement(row, 'th', '', label).scope = 'row'
      htmlElement(row, 'td', 'n', `${percent(rate)} (${percent(low)} to ${percent(high)})`)
      htmlElement(row, 'td', 'n', percent(all))
      const svg = svgElement(htmlElement(row, 'td'), 'svg', { width: 160, height: 16, 'aria-hidden': true })
      svgElement(svg, 'line', { class: 'whisker', x1: x(low), x2: x(high), y1: 8, y2: 8 })
      svgElement(svg, 'circle', { class: 'point', cx: x(rate), cy: 8, r: 4 })
      svgElement(svg, 'line', { class: 'all', x1: x(all), x2: x(all), y1: 1, y2: 15 })
      if (risky) for (const v of s.risks[label]) htmlElement(row, 'td', 'n', v.toFixed(2))
    }
    htmlElement(known, 'p', 'lp-soft lp-case-wide', 'Dot and bar: the selected stays, with an interval that counts a patient’s stays together; line: all stays. Chosen by hand, a group differs for many reasons.')
  }

  // The chart: one small panel for each variable, one hour for all

  let hour = null, panels = [], dragging = false
  const chart = htmlElement(chartBox, 'div', 'lp-case-chart')
  chart.tabIndex = 0
  chart.setAttribute('role', 'slider')
  chart.setAttribute('aria-label', 'Hour of the stay')
  const keys = htmlElement(chart, 'div', 'lp-case-keys')
  const grid = htmlElement(chart, 'div', 'lp-case-grid')
  const never = htmlElement(chart, 'p', 'lp-soft lp-case-never')

  function key(kind, text, color) {
    const item = htmlElement(keys, 'span', 'lp-case-key')
    const mark = htmlElement(item, 'i', kind)
    if (color) mark.style.setProperty('--key', themed(color))
    item.append(text)
  }

  function drawChart() {
    const all = get('chart', []), here = get('stay', null) !== null || !ofRun && !browsing
    chartBox.hidden = !all.length || !here
    grid.replaceChildren()
    keys.replaceChildren()
    panels = []
    if (chartBox.hidden) return
    const shown = all.filter(v => v.charted.some(Boolean)), silent = all.filter(v => !v.charted.some(Boolean))
    for (const name of Object.keys(GROUP_COLORS)) if (shown.some(v => v.group === name)) key('swatch', name.toLowerCase(), GROUP_COLORS[name])
    key('dot', 'charted')
    key('dashes', 'before the first value')
    if (all.some(v => v.middle)) key('half', 'middle half of the cohort')
    if (all.some(v => v.usual !== null)) key('usual', 'usual in a healthy adult')
    if (get('report_hours', []).length) key('report', 'a report could be read')
    const gap = 14, width = root.clientWidth || 760
    const columns = Math.max(1, Math.min(shown.length, Math.floor((width + gap) / (PANEL.widest + gap))))
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`
    for (const variable of shown) panels.push(drawPanel(variable, Math.floor((width - gap * (columns - 1)) / columns)))
    never.textContent = silent.length ? `Never charted: ${silent.map(v => `${v.name} (given as ${number(v.values[0])}${v.unit ? ` ${v.unit}` : ''})`).join(', ')}.` : ''
    chart.setAttribute('aria-valuemin', 0)
    chart.setAttribute('aria-valuemax', (shown[0]?.values.length ?? 1) - 1)
    stand(hour !== null && hour < (shown[0]?.values.length ?? 0) ? hour : null)
  }

  function drawPanel(variable, width) {
    const { values, charted, middle, usual, ends: known } = variable, n = values.length, color = themed(GROUP_COLORS[variable.group])
    const cell = htmlElement(grid, 'div', 'lp-case-panel')
    htmlElement(cell, 'div', 'name', variable.name)
    const value = htmlElement(cell, 'div', 'value')
    const svg = svgElement(cell, 'svg', { viewBox: `0 0 ${width} ${PANEL.height}`, width, height: PANEL.height, 'aria-hidden': true })
    const ends = [...values, ...(known || middle || [])]
    let low = Math.min(...ends), high = Math.max(...ends)
    const pad = 0.08 * (high - low || 2)
    low -= pad; high += pad
    const x = h => PANEL.left + (width - PANEL.left - PANEL.right) * h / n
    const y = v => PANEL.bottom - (PANEL.bottom - PANEL.top) * (v - low) / (high - low)
    const [start, end] = [x(0), x(n)], clip = v => Math.max(low, Math.min(high, v))
    if (middle) svgElement(svg, 'rect', { class: 'half', x: start, width: end - start, y: y(clip(middle[1])), height: y(clip(middle[0])) - y(clip(middle[1])) })
    const ticks = niceTicks(low, high, false, 3).filter(v => !known || Number.isInteger(v))
    for (const v of ticks) {
      svgElement(svg, 'line', { class: 'grid', x1: start, x2: end, y1: y(v), y2: y(v) })
      svgElement(svg, 'text', { class: 'height', x: start - 4, y: y(v) + 4 }, number(v))
    }
    if (usual !== null && usual >= low && usual <= high) svgElement(svg, 'line', { class: 'usual', x1: start, x2: end, y1: y(usual), y2: y(usual) })
    const every = [6, 12, 24, 48, 96, 168, 336, 720, 1440].find(step => n / step <= Math.max(2, width / 60)) || 4380
    for (let h = 0; h <= n; h += every) svgElement(svg, 'text', { class: 'hour', x: x(h), y: PANEL.height - 4 }, h)
    const first = charted.indexOf(1), steps = (from, to) => values.slice(from, to).map((v, i) => `${i ? 'L' : 'M'}${x(from + i).toFixed(1)},${y(v).toFixed(1)}H${x(from + i + 1).toFixed(1)}`).join('')
    const marks = (at, dash) => charted.map((on, h) => on ? `M${x(h + 0.5).toFixed(1)},${at(h).toFixed(1)}${dash}` : '').join('')
    if (first > 0) svgElement(svg, 'path', { class: 'before', d: steps(0, first), style: `stroke: ${color}` })
    svgElement(svg, 'path', { class: 'given', d: steps(first, n), style: `stroke: ${color}` })
    svgElement(svg, 'path', { class: 'dots', d: marks(h => y(values[h]), 'h0'), style: `stroke: ${color}` })
    svgElement(svg, 'path', { class: 'masks', d: marks(() => PANEL.strip, 'v4') })
    for (const h of get('report_hours', [])) svgElement(svg, 'path', { class: 'report', d: `M${x(h) - 3.5},0h7l-3.5,6z` })
    const cursor = svgElement(svg, 'rect', { class: 'cursor', y: 0, height: PANEL.strip + 5, width: Math.max(1.5, x(1) - x(0)), visibility: 'hidden' })
    const under = event => Math.max(0, Math.min(n - 1, Math.floor(n * (event.clientX - svg.getBoundingClientRect().left - start) / (end - start))))
    svg.onmousemove = event => { if (!dragging) stand(under(event)) }
    svg.onclick = event => { dragging = !dragging; stand(under(event)) }
    const last = charted.reduce((found, on, h) => [...found, on ? h : found.at(-1) ?? -1], [])
    return { variable, value, cursor, x, last, n }
  }

  function reading({ variable, last }, h) {
    const { values, unit } = variable, text = `${number(values[h])}${unit ? ` ${unit}` : ''}`
    return last[h] < 0 ? `– ${text}, not yet charted` : last[h] === h ? `● ${text}` : `○ ${text}, of hour ${last[h]}`
  }

  function summary({ variable }) {
    const seen = variable.values.filter((_, h) => variable.charted[h]), low = Math.min(...seen), high = Math.max(...seen)
    return `${low === high ? number(low) : `${number(low)} to ${number(high)}`}${variable.unit ? ` ${variable.unit}` : ''}, ${seen.length} of ${variable.values.length} h`
  }

  function stand(h) {
    hour = h
    if (h === null) dragging = false
    for (const panel of panels) {
      panel.value.textContent = h === null ? summary(panel) : reading(panel, h)
      panel.cursor.setAttribute('visibility', h === null ? 'hidden' : 'visible')
      if (h !== null) panel.cursor.setAttribute('x', panel.x(h))
    }
    chart.setAttribute('aria-valuenow', h ?? 0)
    chart.setAttribute('aria-valuetext', h === null ? 'no hour chosen' : `hour ${h}: ${panels.map(p => `${p.variable.name} ${reading(p, h)}`).join('; ')}`)
    spoken.textContent = h === null ? 'Point at the chart, or focus it and use the arrow keys, to read one hour.' : `Hour ${h}${dragging ? ', kept; click again to let it go' : ''}`
  }
  const spoken = htmlElement(chart, 'div', 'lp-soft lp-case-spoken')
  const step = by => stand(Math.max(0, Math.min((panels[0]?.n ?? 1) - 1, hour === null ? (by > 0 ? 0 : Infinity) : hour + by)))
  chart.addEventListener('mouseleave', () => { if (!dragging) stand(null) })
  onKeys(chart, { ArrowRight: () => step(1), ArrowLeft: () => step(-1), PageUp: () => step(6), PageDown: () => step(-6),
    Home: () => step(-Infinity), End: () => step(Infinity), Escape: () => stand(null) })

  // The reports

  const reportHead = htmlElement(reportBox, 'div', 'lp-bar lp-case-section')
  const legend = htmlElement(reportBox, 'div', 'lp-case-legend')
  const text = htmlElement(reportBox, 'div', 'lp-case-text')
  const told = htmlElement(reportBox, 'div', 'lp-soft lp-case-spoken')
  text.tabIndex = 0
  text.setAttribute('role', 'document')
  text.setAttribute('aria-label', 'Reports')
  told.setAttribute('aria-live', 'polite')
  let words = [], word = -1

  function drawReportHead() {
    const focus = reportHead.contains(document.activeElement) ? document.activeElement.textContent : null
    reportHead.replaceChildren()
    htmlElement(reportHead, 'b', '', 'Reports')
    const kinds = get('kinds', []), chosen = get('highlight', 'none')
    if (!kinds.length || !get('pieces', []).length) return
    const buttons = htmlElement(reportHead, 'span', 'lp-case-kinds')
    htmlElement(buttons, 'span', 'lp-soft', 'highlight')
    for (const kind of kinds) textButton(buttons, kind, () => set('highlight', kind), { pressed: kind === chosen })
    if (chosen !== 'none') {
      const stages = get('stages').map(([k, name]) => [String(k), `${k} ${name}`])
      choice(reportHead, 'after', stages, String(get('stage', 0)), value => set('stage', +value))
    }
    if (chosen === 'occlusion') {
      choice(reportHead, 'without each', [['sentence', 'sentence'], ['word', 'word']], get('unit', 'sentence'), value => set('unit', value))
      if (get('labels', []).length > 1) choice(reportHead, 'for', get('labels').map(l => [l, l]), get('label', ''), value => set('label', value))
    }
    if (focus) [...reportHead.querySelectorAll('button, select')].find(b => b.textContent === focus)?.focus()
  }

  function drawLegend() {
    const how = get('legend', {})
    legend.replaceChildren()
    legend.hidden = !how.said
    if (!how.said) return
    const scale = htmlElement(legend, 'span', 'scale')
    htmlElement(scale, 'span', '', how.low)
    htmlElement(scale, 'i', how.signed ? 'signed' : 'unsigned')
    htmlElement(scale, 'span', '', how.high)
    htmlElement(scale, 'span', 'lp-soft', how.unit)
    htmlElement(legend, 'span', 'lp-soft', how.said)
  }

  function drawText() {
    const pieces = get('pieces', [])
    reportBox.hidden = get('stay', null) === null
    text.replaceChildren()
    words = []
    word = -1
    if (!pieces.length) htmlElement(text, 'span', 'lp-soft', 'No report could be read in time.')
    for (const [piece, value, strength] of pieces) {
      if (value === null) { text.append(piece); continue }
      const mark = htmlElement(text, 'mark', strength < 0 ? 'less' : 'more', piece), i = words.length, size = Math.abs(strength)
      mark.style.setProperty('--strength', `${(55 * size).toFixed(0)}%`)
      mark.style.setProperty('--line', size < 0.08 ? '0px' : `${(0.5 + 2.5 * size).toFixed(1)}px`)
      if (!get('legend', {}).signed) mark.classList.add('plain')
      mark.onmouseenter = () => tell(i)
      mark.onclick = () => { tell(i); text.focus({ preventScroll: true }) }
      words.push({ mark, piece, value })
    }
    told.textContent = words.length ? 'Point at the text, or focus it and use the arrow keys, to read its numbers.' : ''
  }

  function tell(i) {
    words[word]?.mark.classList.remove('here')
    word = Math.max(0, Math.min(words.length - 1, i))
    const at = words[word]
    if (!at) return
    at.mark.classList.add('here')
    const how = get('legend', {}), said = at.piece.replace(/\s+/g, ' ')
    told.textContent = `${how.signed && at.value > 0 ? '+' : ''}${number(at.value)} ${how.unit ?? ''}: “${said.length > 160 ? `${said.slice(0, 160)}…` : said}”`
  }
  const read = i => {
    if (!words.length) return
    tell(i)
    const box = text.getBoundingClientRect(), here = words[word].mark.getBoundingClientRect()
    if (here.top < box.top || here.bottom > box.bottom) text.scrollTop += here.top - box.top - box.height / 3
  }
  onKeys(text, { ArrowRight: () => read(word + 1), ArrowLeft: () => read(word - 1), Home: () => read(0), End: () => read(Infinity) })

  // The neighbours

  function drawNear() {
    const stages = get('near', []), labels = get('labels', [])
    nearBox.replaceChildren()
    nearBox.hidden = get('stay', null) === null || !ofRun
    if (nearBox.hidden) return
    const bar = htmlElement(nearBox, 'div', 'lp-bar lp-case-section')
    htmlElement(bar, 'b', '', 'Nearest stays')
    htmlElement(bar, 'span', 'lp-soft', `in the space of each stage, among ${get('pool', '') === 'all' ? 'all stays' : `the ${get('pool', '')} stays`}; the number is the distance over the median distance`)
    if (!stages.length) {
      const ask = textButton(bar, 'Find them', () => set('seek', true), { title: 'Embeds the stays after every stage, which may take a while' })
      ask.disabled = get('seek', true)
      return
    }
    const columns = htmlElement(nearBox, 'div', 'lp-case-near')
    for (const stage of stages) drawStage(columns, stage, labels)
  }

  function drawStage(parent, { stage, name, rows, own }, labels) {
    const column = htmlElement(parent, 'div'), kept = rows.filter(r => r[2]).length, single = labels.length === 1
    htmlElement(column, 'b', '', `${stage} ${name}`)
    const share = single ? `${labels[0]} in ${rows.filter(r => r[3][0]).length} of ${rows.length}` : ''
    htmlElement(column, 'small', '', [rows[0]?.[2] === null ? '' : `${kept} of ${rows.length} kept`, share].filter(Boolean).join(', ') || ' ')
    const list = htmlElement(column, 'ol')
    for (const [stay, away, was, mine] of rows) {
      const button = textButton(htmlElement(list, 'li'), '', () => set('stay', stay), { className: was ? 'kept' : was === null ? '' : 'fresh' })
      const both = mine.filter((v, i) => v && own[i]).length, wanted = own.filter(Boolean).length
      const mark = single ? (mine[0] ? '●' : '○') : `${both}/${wanted}`
      const said = single ? `${labels[0]}: ${mine[0] ? 'yes' : 'no'}` : `${both} of the ${wanted} labels of this stay`
      htmlElement(button, 'span', 'mark', mark)
      htmlElement(button, 'span', 'id', stay)
      htmlElement(button, 'span', 'away', away.toFixed(2))
      htmlElement(button, 'span', 'was', was === null ? '' : was ? 'kept' : 'new')
      button.title = said
      button.setAttribute('aria-label', `Open stay ${stay}, ${said}, distance ${away.toFixed(2)} of the median${was === null ? '' : was ? ', kept' : ', new'}`)
    }
    onKeys(list, { ArrowDown: () => shift(list, 1), ArrowUp: () => shift(list, -1) })
  }

  function shift(list, by) {
    const all = [...list.querySelectorAll('button')]
    all[Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + by))].focus()
  }

  const cleaners = [
    redrawOn(model, root, ['stay', 'several', 'at', 'trail', 'place', 'count', 'busy', 'note', 'chart'], drawHead),
    redrawOn(model, root, ['stay', 'several', 'facts', 'outcomes', 'split'], drawKnown),
    redrawOn(model, root, ['stay', 'chart', 'report_hours'], drawChart),
    redrawOn(model, root, ['pieces', 'highlight', 'stage', 'unit', 'label', 'kinds'], drawReportHead),
    redrawOn(model, root, ['legend'], drawLegend),
    redrawOn(model, root, ['stay', 'pieces', 'legend'], drawText),
    redrawOn(model, root, ['stay', 'near', 'seek', 'pool'], drawNear),
  ]
  return () => cleaners.forEach(clean => clean())
}

export default { render }
