// Drives the pages of a guard that runs, about an incident that really happened. guard_test.go sets:
//
//   GUARD      address of the pages
//   INCIDENT   the one that the attack caused, SECRET what is in its command line
//   LINK_TOKEN token of the printed link, VIEWER token of a viewer
//   CHROMIUM   the browser
//   CONTAINERS set if the attack is in the container shop-web, beside shop-db
//   PICTURES   folder to put pictures into, or empty
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const { GUARD, LINK_TOKEN, VIEWER, SECRET, INCIDENT, CONTAINERS, CHROMIUM, PICTURES } = process.env
const skip = !GUARD && 'no guard runs'

let browser
before(async () => {
  if (GUARD) browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
})
after(() => browser?.close())

async function visit(t, link, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const wrong = []
  page.on('console', (m) => m.type() === 'error' && !/4\d\d \(/.test(m.text()) && wrong.push(`console: ${m.text()}`))
  page.on('pageerror', (e) => wrong.push(`error: ${e}`))
  page.on('request', (r) => { if (!r.url().startsWith(GUARD) && !r.url().startsWith('data:') && !r.url().startsWith('blob:')) wrong.push(`request to ${r.url()}`) })
  await page.goto(link)
  t.after(async () => {
    await context.close()
    assert.deepEqual(wrong, [])
  })
  return page
}
const asAdmin = (t, options) => visit(t, `${GUARD}/?token=${LINK_TOKEN}`, options)
async function picture(page, name, height = 900) {
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}.png`, clip: { x: 0, y: 0, width: page.viewportSize().width, height } })
}
async function accessible(page, where) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }))
  const serious = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(' | ')}`)
  assert.deepEqual(serious, [], where)
}
async function openIncident(page) {
  // Others on this host may cause incidents too.
  await page.locator(`main table a[href$="${INCIDENT}"]`).click()
  await page.getByRole('heading', { name: 'What happened' }).waitFor()
}

test('the link leads to the incidents, and the token leaves the address', { skip }, async (t) => {
  const page = await asAdmin(t)
  await page.locator('main table').first().waitFor()
  assert.equal(new URL(page.url()).search, '')
  assert.match(await page.locator('header').innerText(), /printed link, admin/)
  await accessible(page, 'incidents')
  if (!CONTAINERS) return
  await page.getByLabel('Container').fill('shop-web')
  await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 1)
  assert.match(await page.locator('main tbody tr').innerText(), /shop-web · rollcage\/test:1\.0/)
  await picture(page, 'incidents', 260)
})

test('an incident shows alerts, processes and captures, in both themes', { skip }, async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await asAdmin(t, { colorScheme })
    await openIncident(page)
    const text = await page.locator('main').innerText()
    assert.match(text, /⚑/)
    assert.ok(!text.includes(SECRET), 'a secret is shown')
    assert.match(text, /\*\*\*/)
    await accessible(page, `incident in ${colorScheme}`)
    await picture(page, `incident-${colorScheme}`)
  }
})

test('secrets are shown when somebody who may asks for it', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  await page.getByLabel(/show secrets/).check()
  await page.waitForFunction((s) => document.querySelector('main').innerText.includes(s), SECRET)
})

test('an action says first what it would do, and is done when that is confirmed', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  await page.getByRole('button', { name: 'Kill tree…' }).click()
  const dialog = page.getByRole('alertdialog')
  const result = page.locator('section[aria-label=Actions] p[role=status]:not(.busy)')
  await dialog.waitFor()
  assert.match(await dialog.innerText(), /would kill/)
  await picture(page, 'dry-run')
  await dialog.getByRole('button', { name: 'Do it' }).click()
  await result.waitFor()
  assert.match(await result.innerText(), /^kill/)
  await page.getByText(/Action kill by printed link \(dry run\)/).first().waitFor()
})

test('a note is written down and shown', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  await page.getByLabel('Note', { exact: true }).fill('the shop was <b>told</b>')
  await page.getByRole('button', { name: 'Write it down' }).click()
  await page.locator('ol').getByText('the shop was <b>told</b>').waitFor()
})

test('a capture is opened from its incident, its link opens it again, and its alerts are on the process tree', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  await page.getByRole('button', { name: 'Open', exact: true }).first().click()
  // A busy host has millions of events in a minute; they are read once, then judged.
  await page.locator('section[aria-label=Alerts] .tile').first().waitFor({ timeout: 120_000 })
  const link = page.url()
  assert.match(link, /[?&]in=/)
  await picture(page, 'capture-alerts')
  await page.goto(link.replace('/?', '/processes?'))
  await page.getByLabel('only those with alerts').check({ timeout: 120_000 })
  await page.locator('.pin').first().waitFor()
  await picture(page, 'capture-pins')
  await page.getByRole('button', { name: 'Alerts', exact: true }).click()
  await page.getByText('rules ran').waitFor()
  await accessible(page, 'alerts')
  await page.getByRole('button', { name: 'Incidents', exact: true }).click()
  await page.locator('main table').first().waitFor()
})

test('a capture that guard closed meanwhile is opened again', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  await page.getByRole('button', { name: 'Open', exact: true }).first().click()
  await page.locator('section[aria-label=Alerts] .tile').first().waitFor({ timeout: 120_000 })
  // As guard answers when 16 others were opened since.
  let lost = true, opened = 0
  await page.route(/\/api\/captures$/, (r) => (lost ? r.fulfill({ json: [] }) : r.continue()))
  await page.route(/\/api\/captures\/\d+\/events/, (r) => (lost ? r.fulfill({ status: 404, json: { error: { message: 'is not open' } } }) : r.continue()))
  await page.route(/\/captures\/[^/]+\/open$/, (r) => { lost = false; opened++; return r.continue() })
  await page.getByRole('button', { name: 'Events', exact: true }).click()
  await page.waitForSelector('.event strong', { timeout: 60_000 })
  assert.equal(opened, 1)
})

test('the host shows guard, policies, containers and processes, and switches a policy', { skip }, async (t) => {
  const page = await asAdmin(t)
  await page.locator('main table').first().waitFor()
  await page.keyboard.press('h')
  await page.getByRole('heading', { name: 'Guard works' }).waitFor()
  await page.getByRole('button', { name: 'Switch to enforce' }).first().click()
  await page.getByText('is in mode enforce').waitFor()
  await page.getByRole('button', { name: 'Switch to monitor' }).first().click()
  await page.getByText('is in mode monitor').waitFor()
  if (CONTAINERS) {
    const row = page.locator('section[aria-label=Containers] tr', { hasText: 'shop-db' })
    assert.match(await row.innerText(), /rollcage\/test:1\.0\s+docker/)
    await row.getByRole('button').click()
    await page.waitForFunction(() => document.querySelector('section[aria-label=Processes] tbody tr:nth-child(1)')?.textContent.includes('shop-db'))
    assert.equal(await page.locator('section[aria-label=Processes] tbody tr', { hasNotText: 'shop-db' }).count(), 0)
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme })
      // A picture is of what this test made, whatever else runs here and whatever kernel.
      await page.evaluate(() => (document.querySelector('section[aria-label=Agent] dl > div').hidden = true))
      await page.evaluate(() => document.querySelectorAll('section[aria-label=Containers] tbody tr').forEach((r) => (r.hidden = !r.textContent.includes('shop-'))))
      await picture(page, `host-${colorScheme}`, 720)
    }
    await page.locator('section[aria-label=Containers] tr', { hasText: 'shop-web' }).getByRole('link', { name: /Incidents/ }).click()
    await page.locator(`main table a[href$="${INCIDENT}"]`).waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: 'Guard works' }).waitFor()
  }
  await accessible(page, 'host')
})

test('a viewer logs in with a token, sees no secret and no button', { skip }, async (t) => {
  const page = await visit(t, GUARD)
  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByText('wrong, expired or revoked').waitFor()
  await accessible(page, 'login')
  await page.getByLabel('Token').fill(VIEWER)
  await page.getByRole('button', { name: 'Log in' }).click()
  await openIncident(page)
  assert.equal(await page.getByRole('button', { name: /…$/ }).count(), 0)
  assert.equal(await page.getByRole('button', { name: 'Open', exact: true }).count(), 0)
  assert.equal(await page.getByLabel(/show secrets/).count(), 0)
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Token').waitFor()
})

test('the report stands for itself', { skip }, async (t) => {
  const page = await asAdmin(t)
  await openIncident(page)
  const [report] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Report to print' }).click()])
  await report.getByRole('heading', { name: /^Incident/ }).waitFor()
  const text = await report.locator('body').innerText()
  assert.ok(!text.includes(SECRET))
  assert.equal(await report.locator('script, img, link, iframe').count(), 0)
  if (PICTURES) await report.screenshot({ path: `${PICTURES}/report.png`, fullPage: true })
})

test('a phone can read it', { skip }, async (t) => {
  const page = await asAdmin(t, { viewport: { width: 390, height: 844 } })
  await openIncident(page)
  await picture(page, 'incident-phone')
  const wide = await page.evaluate(() => (document.documentElement.scrollWidth <= innerWidth + 1 ? [] : [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 120))))
  assert.deepEqual(wide, [], 'the page is wider than the screen')
})
