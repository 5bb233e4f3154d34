// Drives the pages in a real browser. `make test` runs it by way of browser_test.go, which sets:
//
//   LINK_HOSTILE  link to a capture full of markup and escapes
//   LINK_502      link to a recorded capture of a web shop's error, or empty
//   CHROMIUM      the browser
//   PICTURES      folder to put pictures into, or empty
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const { LINK_HOSTILE, LINK_502, CHROMIUM, PICTURES } = process.env
const tabs = ['', 'views', 'processes', 'events', 'talk', 'terminals', 'latency', 'compare']

let browser
before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
})
after(() => browser?.close())

// visit opens a link in a fresh window, and fails the test at its end for anything that must never happen.
async function visit(t, link, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const wrong = []
  page.on('console', (m) => m.type() === 'error' && !m.text().includes('400 (Bad Request)') && wrong.push(`console: ${m.text()}`))
  page.on('pageerror', (e) => wrong.push(`error: ${e}`))
  page.on('dialog', (d) => { wrong.push(`dialog: ${d.message()}`); void d.dismiss() })
  const origin = new URL(link).origin
  page.on('request', (r) => { if (!r.url().startsWith(origin) && !r.url().startsWith('data:') && !r.url().startsWith('blob:')) wrong.push(`request to ${r.url()}`) })
  await page.goto(link)
  await page.waitForSelector('main :is(section, table, .panel, .notice)')
  t.after(async () => {
    await context.close()
    assert.deepEqual(wrong, [])
  })
  page.at = (path) => page.goto(origin + path)
  return page
}
const settled = (page) => page.waitForFunction(() => !document.querySelector('main progress, main .busy'))
async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}.png` })
}

test('every page shows something, in both themes, without serious problems of accessibility', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await visit(t, LINK_HOSTILE, { colorScheme })
    for (const tab of tabs) {
      await page.at('/' + tab)
      await page.waitForSelector('main > *')
      await settled(page)
      assert.ok((await page.locator('main').innerText()).trim().length > 20, `${tab} is empty`)
      await page.evaluate(axe)
      // The dark theme differs in colours alone.
      const found = await page.evaluate((colours) => window.axe.run(document, { runOnly: colours ? ['color-contrast'] : ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations'] }), colorScheme === 'dark')
      const serious = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).slice(0, 3).join(' | ')}`)
      assert.deepEqual(serious, [], `${tab || 'overview'} in ${colorScheme}`)
    }
  }
})

test('hostile names and data are text and nothing else', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  for (const path of ['/views?view=files', '/views?view=procs', '/events', '/talk', '/processes', '/terminals']) {
    await page.at(path)
    await settled(page)
    assert.equal(await page.locator('main script, main img[src="x"], main iframe').count(), 0, path)
    const text = await page.locator('main').innerText()
    assert.ok(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e]/.test(text), `${path} shows a control character`)
  }
  await page.at('/talk')
  await settled(page)
  assert.match(await page.locator('main').innerText(), /<script>alert\(1\)<\/script>/)
})

test('a filter that is wrong is shown where, and one that is right is applied and undone by going back', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.keyboard.press('/')
  await page.keyboard.type('proc.nme = bash')
  await page.keyboard.press('Enter')
  await page.waitForSelector('#filter-problem')
  assert.match(await page.locator('#filter-problem').innerText(), /proc\.name/)
  await page.fill('#filter', 'evt.type = write')
  await page.keyboard.press('Enter')
  await page.waitForURL(/filter=/)
  await page.at('/events?filter=evt.type+%3D+write')
  await settled(page)
  const some = await page.locator('main p[role=status]').first().innerText()
  await page.at('/events')
  await settled(page)
  const all = await page.locator('main p[role=status]').first().innerText()
  assert.notEqual(some, all)
  await page.goBack()
  await page.waitForURL(/filter=/)
})

test('completion offers fields', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.click('#filter')
  await page.keyboard.type('proc.pna', { delay: 30 })
  await page.waitForSelector('#offers li')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Tab')
  assert.equal(await page.inputValue('#filter'), 'proc.pname ')
})

test('completion goes on with operators and values of the capture, and Tab takes the first', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.click('#filter')
  await page.keyboard.type('proc.na', { delay: 30 })
  await page.waitForSelector('#offers li')
  await page.keyboard.press('Tab')
  assert.equal(await page.inputValue('#filter'), 'proc.name ')
  await page.keyboard.type('start', { delay: 30 })
  await page.waitForSelector('#offers li >> text=startswith')
  await page.keyboard.press('Tab')
  assert.equal(await page.inputValue('#filter'), 'proc.name startswith ')
  await page.waitForSelector('#offers li >> text=bash')
  await page.keyboard.type('ba')
  await page.keyboard.press('Tab')
  assert.equal(await page.inputValue('#filter'), 'proc.name startswith bash ')
  // What needs an argument gets its brackets, with the cursor between them; the caret follows Home and End.
  await page.fill('#filter', 'and proc.aname = bash')
  await page.keyboard.press('Home')
  await page.keyboard.type('evt.aro', { delay: 30 })
  await page.keyboard.press('Tab')
  await page.keyboard.type('1')
  assert.equal(await page.inputValue('#filter'), 'evt.around[1]and proc.aname = bash')
})

test('a filter and a view in a link that are wrong are said to be', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/events?filter=bogus.x+%3D+1')
  await page.waitForSelector('#filter-problem')
  assert.equal(await page.getAttribute('#filter', 'aria-invalid'), 'true')
  await page.at('/views?view=nope')
  await page.waitForSelector('text=There is no view “nope”')
  await page.click('text=Show the processes')
  await page.waitForSelector('main table')
})

test('the axis of the latencies is where the picture puts them', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/latency')
  await page.waitForSelector('canvas')
  await settled(page)
  const canvas = await page.locator('canvas').boundingBox()
  const ns = { 's': 1e9, 'ms': 1e6, 'µs': 1e3, 'ns': 1 }
  const labels = await page.locator('.labels span').all()
  assert.equal(labels.length, 10)
  for (const l of labels) {
    const [n, unit] = (await l.innerText()).split(' ')
    const box = await l.boundingBox()
    // From 100 ns at the lower edge to 100 s at the upper one.
    const want = canvas.y + canvas.height * (1 - (Math.log10(Number(n) * ns[unit]) - 2) / 9)
    assert.ok(Math.abs(box.y + box.height / 2 - want) < 1.5, `${n} ${unit} is at ${box.y + box.height / 2}, not ${want}`)
  }
})

test('two halves are compared at once, and by what processes are', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/compare')
  await page.waitForSelector('main table')
  await settled(page)
  assert.match(await page.locator('main').innerText(), /(more|less|same) \(1\)/)
  await page.locator('.kind', { hasText: '(1)' }).getByRole('checkbox').check()
  await page.waitForSelector('td >> text=bash')
  await page.goto(page.url().replace('/compare', '/compare?by=number'))
  await page.waitForSelector('th >> text=PID')
})

test('an edge of the window moves alone', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.getByRole('slider', { name: 'Start of the window' }).focus()
  await page.keyboard.press('PageUp')
  await page.waitForURL(/from=\d+$/)
  await page.getByRole('slider', { name: 'End of the window' }).focus()
  await page.keyboard.press('ArrowLeft')
  await page.waitForURL(/from=\d+&to=\d+/)
})

test('data that is no text is shown as bytes', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/talk')
  await page.waitForSelector('pre.hex >> text=7f 45 4c 46')
  await page.locator('button', { hasText: 'more bytes' }).first().click()
  await page.waitForSelector('pre.hex >> text=0070')
})

test('chosen tiles stay in sight while further ones are chosen', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await settled(page)
  await page.locator('.pick input').last().check()
  await page.waitForURL(/tiles=/)
  await page.evaluate(() => scrollTo(0, 1e6))
  await page.waitForTimeout(200)
  const box = await page.locator('.pinned').boundingBox()
  assert.ok(box && box.y >= 0 && box.y + box.height < 900, `the chart is at ${box?.y}`)
})

test('the keyboard does everything: pages, rows, drill-down and back', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.keyboard.press('2')
  await page.waitForURL(/\/views/)
  await settled(page)
  await page.locator('main [role=region]').focus()
  await page.keyboard.press('Enter')
  await page.waitForURL(/path=/)
  await page.keyboard.press('Backspace')
  await page.waitForFunction(() => !location.search.includes('path='))
  await page.keyboard.press('?')
  await page.waitForSelector('dialog[open]')
  await page.keyboard.press('Escape')
  await page.keyboard.press('4')
  await page.waitForSelector('main [role=listbox]')
  await page.waitForSelector('.event strong')
  await page.locator('main [role=listbox]').focus()
  await page.keyboard.press('ArrowDown')
  await page.waitForURL(/event=/)
  await page.waitForSelector('aside dl')
})

test('a window is chosen on the time line by mouse and keyboard, and everything follows', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  const strip = await page.locator('.strip').boundingBox()
  await page.mouse.move(strip.x + strip.width * 0.25, strip.y + 10)
  await page.mouse.down()
  await page.mouse.move(strip.x + strip.width * 0.5, strip.y + 10, { steps: 4 })
  await page.mouse.up()
  await page.waitForURL(/from=\d+.*to=\d+/)
  const before = page.url()
  await page.locator('.strip').focus()
  await page.keyboard.press('ArrowRight')
  await page.waitForFunction((u) => location.href !== u, before)
  await page.keyboard.press('4')
  await settled(page)
  const n = Number((await page.locator('main p[role=status]').first().innerText()).replace(/\D/g, ''))
  assert.ok(n > 0 && n < 1200, `${n} events in the window`)
  await page.keyboard.press('w')
  await page.waitForFunction(() => !location.search.includes('from='))
})

test('events scroll to the end and explain themselves', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/events')
  await settled(page)
  await page.locator('main [role=listbox]').focus()
  await page.keyboard.press('End')
  await page.waitForFunction(() => [...document.querySelectorAll('.event')].some((e) => e.id === 'e-1200'))
  await page.click('#e-1200')
  await page.waitForSelector('aside dl')
  assert.match(await page.locator('aside').innerText(), /evt\.num\s+1200/)
})

test('a terminal session is played back and saved', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/terminals')
  await page.click('main td button')
  await page.waitForSelector('.screen')
  await page.waitForFunction(() => document.querySelector('.screen')?.textContent?.includes('root@web-1'))
  const down = page.waitForEvent('download')
  await page.click('text=Save as text')
  assert.equal((await down).suggestedFilename(), 'terminal.txt')
})

test('a link to a state works for who has the token: the page asks for it once, and copies links without it', async (t) => {
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] })
  t.after(() => context.close())
  const page = await context.newPage()
  const origin = new URL(LINK_HOSTILE).origin
  await page.goto(origin + '/events?filter=evt.type+%3D+write&event=11')
  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByText('not the token').waitFor()
  await page.getByLabel('Token').fill(LINK_HOSTILE)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.waitForSelector('aside dl')
  assert.match(page.url(), /events\?filter=.*&event=11$/)
  await page.getByRole('button', { name: 'Copy link' }).click()
  await page.getByText('Copied').waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url())
  // In a chat, on another site's page: browsers keep strict cookies back, and the page asks the server itself.
  const other = await context.newPage()
  await other.route('http://chat.example/', (r) => r.fulfill({ contentType: 'text/html', body: `<a href="${page.url()}">look</a>` }))
  await other.goto('http://chat.example/')
  await other.click('a')
  await other.waitForSelector('aside dl')
})

test('a capture that is not there is told, with those that are', async (t) => {
  const page = await visit(t, LINK_HOSTILE)
  await page.at('/events?capture=99')
  await page.getByText('There is no capture 99 here').waitFor()
  await page.getByRole('link', { name: 'shop.scap' }).click()
  await page.waitForSelector('.event strong')
})

test('it reads well on a phone', async (t) => {
  const page = await visit(t, LINK_HOSTILE, { viewport: { width: 390, height: 844 } })
  for (const tab of tabs) {
    await page.at('/' + tab)
    await settled(page)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(wide <= 392, `${tab || 'overview'} is ${wide} pixels wide`)
    const head = await page.locator('header').boundingBox()
    assert.ok(head.height < 190, `the header takes ${head.height} pixels`)
  }
  await page.at('/')
  await settled(page)
  const [a, b] = await page.locator('.tile').evaluateAll((l) => l.slice(0, 2).map((e) => e.getBoundingClientRect().top))
  assert.equal(a, b, 'tiles are one below the other')
  // An event says when, who, what.
  await page.at('/events')
  await page.waitForSelector('.event strong')
  for (const part of ['.t', '.p', '.y', '.a']) assert.ok(await page.locator(`[role=option] ${part}`).first().isVisible(), `${part} of an event is not shown`)
})

test('a newcomer finds which request gave the 502, and why', { skip: !LINK_502 && 'the recorded capture is not here' }, async (t) => {
  const page = await visit(t, LINK_502)
  await settled(page)
  await picture(page, 'overview')
  // The tile of HTTP errors stands out.
  await page.click('.note >> text=HTTP Errors')
  await page.waitForURL(/\/talk/)
  await settled(page)
  await page.waitForSelector('text=502 Bad Gateway')
  await picture(page, 'error')
  // The connection that carries it: what was asked on it?
  await page.locator('li', { hasText: '502 Bad Gateway' }).locator('button.link').first().click()
  await page.waitForSelector('text=GET /foo')
  // The answer of the server behind: it has no status line of its own.
  await page.fill('#filter', 'evt.buffer contains foo or evt.buffer contains 502')
  await page.press('#filter', 'Enter')
  await settled(page)
  await page.waitForSelector('text=GET /foo')
  await picture(page, 'conversation')
  for (const [path, name] of [['/processes', 'processes'], ['/views?view=connections', 'connections'], ['/events?event=11139', 'event'], ['/latency', 'latency']]) {
    await page.at(path)
    await settled(page)
    await page.waitForTimeout(300)
    await picture(page, name)
  }
})
