// A page that is left open for hours stays as small as it was. The browser's clock is turned, so that POLLS of them (160 if it
// is not set: 8 minutes of the host's page, 80 of the others) take as long as guard needs to answer; 9600 are 8 hours of the
// host's page. guard_test.go sets what guard.test.mjs needs.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'

const { GUARD, LINK_TOKEN, INCIDENT, CHROMIUM } = process.env
const polled = Number(process.env.POLLS ?? 160)
const skip = !GUARD && 'no guard runs'

let browser
before(async () => {
  if (GUARD) browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
})
after(() => browser?.close())

async function open(t, path) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  const page = await context.newPage()
  t.after(() => context.close())
  await page.clock.install()
  await page.goto(`${GUARD}/?token=${LINK_TOKEN}`)
  await page.locator('main table').first().waitFor()
  await page.goto(GUARD + path)
  await page.locator('main section').first().waitFor()
  const devtools = await context.newCDPSession(page)
  await devtools.send('Performance.enable')
  page.size = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    const { metrics } = await devtools.send('Performance.getMetrics')
    const of = (name) => metrics.find((m) => m.name === name).value
    return { heap: of('JSHeapUsedSize'), nodes: of('Nodes'), listeners: of('JSEventListeners') }
  }
  return page
}

async function polls(page, every, url, n) {
  for (let i = 0; i < n; i++) {
    await Promise.all([page.waitForResponse((r) => r.url().includes(url)), page.clock.runFor(every + 600)])
  }
}

function bounded(t, early, late) {
  t.diagnostic(`${JSON.stringify(early)}, then ${JSON.stringify(late)}`)
  assert.ok(late.heap < early.heap + 2e6, `the heap grew from ${early.heap} to ${late.heap}`)
  // What runs on the host changes, and with it the rows.
  assert.ok(late.nodes < early.nodes * 1.3 + 2000, `the nodes grew from ${early.nodes} to ${late.nodes}`)
  assert.ok(late.listeners < early.listeners * 1.3 + 50, `the listeners grew from ${early.listeners} to ${late.listeners}`)
}

for (const [name, path, every, url] of [['host', '/host', 3000, '/v1/host'], ['incidents', '/incidents', 30_000, '/v1/incidents'], ['one incident', `/incidents?incident=${INCIDENT}`, 30_000, '/records']]) {
  test(`the page of ${name} does not grow in ${polled} polls`, { skip }, async (t) => {
    const page = await open(t, path)
    await polls(page, every, url, Math.ceil(polled / 4))
    const early = await page.size()
    await polls(page, every, url, polled - Math.ceil(polled / 4))
    bounded(t, early, await page.size())
  })
}

for (const name of ['Overview', 'Events']) {
  test(`the page ${name} of a capture does not grow in 8 h, and asks for nothing`, { skip }, async (t) => {
    const page = await open(t, `/incidents?incident=${INCIDENT}`)
    await page.getByRole('button', { name: 'Open', exact: true }).first().click()
    await page.locator('section[aria-label=Alerts] .tile').first().waitFor({ timeout: 120_000 })
    await page.getByRole('button', { name, exact: true }).click()
    // As long as a capture is read, the page asks how far that is.
    await page.waitForFunction(async () => (await (await fetch('/api/captures')).json()).every((c) => c.done))
    await page.waitForLoadState('networkidle')
    const early = await page.size()
    let asked = 0
    page.on('request', () => asked++)
    await page.clock.runFor('08:00:00')
    bounded(t, early, await page.size())
    assert.equal(asked, 0)
  })
}

test('a session that ends shows the log-in, and the page goes on after it', { skip }, async (t) => {
  const page = await open(t, '/host')
  await page.context().clearCookies()
  await page.clock.runFor(4000)
  await page.getByText('Your session has ended').waitFor()
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/session-ended.png` })
  await page.getByLabel('Token').fill(LINK_TOKEN)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.clock.runFor(4000)
  await page.getByRole('heading', { name: 'Guard works' }).waitFor()
})
