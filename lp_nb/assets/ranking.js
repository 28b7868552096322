// The stays that changed company most, as a table: sortable, steered by the arrow keys.
// Traits in: columns ([key, heading, what it means, digits]), rows (lists, the id first), note. Both ways: chosen (an id). Out: dark (the theme).

function render({ model, el }) {
  const root = rootElement(el, 'lp-ranking', 'Stays that changed company most')
  const bar = htmlElement(root, 'div', 'lp-bar')
  htmlElement(bar, 'b', '', 'Changed company most')
  helpButton(bar, root, [
    ...model.get('columns').slice(1).map(([, title, meaning]) => [title, meaning]),
    ['click, ↑ ↓', 'select a stay; Enter on a heading sorts by it'],
  ])
  const note = htmlElement(root, 'div', 'lp-soft')
  const box = htmlElement(root, 'div', 'lp-ranking-box')
  const table = htmlElement(box, 'table')
  table.tabIndex = 0
  table.setAttribute('role', 'listbox')
  table.setAttribute('aria-label', 'Stays, those that lost most neighbours first')
  let sorted = null, falling = true

  const order = () => {
    const rows = [...model.get('rows')]
    if (sorted === null) return rows
    const value = row => row[sorted] === null ? -Infinity : row[sorted]
    return rows.sort((a, b) => (falling ? 1 : -1) * (value(b) - value(a)))
  }
  const choose = id => { model.set('chosen', id); model.save_changes() }

  function step(by) {
    const rows = order()
    if (!rows.length) return
    const at = rows.findIndex(row => row[0] === model.get('chosen'))
    choose(rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))][0])
  }

  function draw() {
    table.replaceChildren()
    note.textContent = model.get('note')
    const columns = model.get('columns')
    if (!model.get('rows').length) return
    const head = htmlElement(htmlElement(table, 'thead'), 'tr')
    columns.forEach(([, title, unit], i) => {
      const cell = htmlElement(head, 'th', i ? 'n' : '')
      const button = textButton(cell, title, () => { falling = sorted === i ? !falling : true; sorted = i; draw() }, { title: unit })
      cell.setAttribute('aria-sort', sorted === i ? (falling ? 'descending' : 'ascending') : 'none')
      button.tabIndex = 0
    })
    const body = htmlElement(table, 'tbody')
    for (const row of order()) {
      const line = htmlElement(body, 'tr', row[0] === model.get('chosen') ? 'chosen' : '')
      line.setAttribute('role', 'option')
      line.setAttribute('aria-selected', String(row[0] === model.get('chosen')))
      line.onclick = () => choose(row[0])
      row.forEach((value, i) => htmlElement(line, 'td', i ? 'n' : '', value === null ? '–'
        : columns[i][3] === '%' ? `${Math.round(100 * value)} %` : i ? value.toFixed(columns[i][3]) : String(value)))
    }
    const chosen = body.querySelector('.chosen')
    if (chosen) box.scrollTop = Math.max(0, chosen.offsetTop - box.clientHeight / 2)
  }

  onKeys(table, { ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-Infinity), End: () => step(Infinity) })
  const tellTheme = () => {
    const dark = document.body.dataset.jpThemeLight === 'false'
    if (model.get('dark') !== dark) { model.set('dark', dark); model.save_changes() }
  }
  const watch = new MutationObserver(tellTheme)
  watch.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-light'] })
  tellTheme()
  const clean = redrawOn(model, root, ['rows', 'columns', 'note', 'chosen'], draw)
  return () => { clean(); watch.disconnect() }
}

export default { render }
