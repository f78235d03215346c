// Serves the ERP by OData V4 (/odata/v4/erp/) and V2 (/odata/v2/erp/) on PORT of 127.0.0.1.
//
// What tests ask besides, under /-/: GET count (requests since the last POST reset), POST fill
// (orders with lines), POST write (rows as they are, their time of change too), POST empty, POST forget (tokens), POST token (OAuth2). SIGTERM writes state.json,
// which the next start reads.
const fs = require('fs')
const http = require('http')
const cds = require('@sap/cds')
const express = require('express')
const csrf = require('./csrf')
const login = require('./login')

const port = Number(process.env.PORT)
const counted = { v4: 0, v2: 0, operations: 0, paths: [] }

let leaving = false
let underWay = 0

function admit(req, res, next) {
  // What the V2 adapter asks of V4 belongs to a request that was admitted.
  if (req.headers['x-cds-odata-version']) return next()
  if (leaving) return res.set('Retry-After', '0').status(503).send('It is being stopped')
  underWay += 1
  res.once('close', () => { underWay -= 1 })
  next()
}

function count(req, _, next) {
  const version = req.path.match(/^\/odata\/(v[24])\//)?.[1]
  // The V2 adapter calls V4 on this very server.
  if (version && !(version === 'v4' && req.headers['x-cds-odata-version'])) {
    counted[version] += 1
    if (counted.paths.length < 100) counted.paths.push(`${req.method} ${req.originalUrl}`)
  }
  next()
}

async function fill({ orders = 10, lines = 4, products = 50, customers = 20, from = 0 }) {
  const { Orders, Lines, Products, Customers } = cds.entities('data')
  const id = number => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
  const numbers = (length, make) => Array.from({ length }, (_, at) => make(at))
  if (!from) {
    await INSERT.into(Customers).entries(numbers(customers, at => ({
      ID: `C${at}`, name: `Customer ${at}`, limit: 1000 * at, since: '2020-02-29',
    })))
    await INSERT.into(Products).entries(numbers(products, at => ({
      ID: `P${at}`, name: `Product ${at}`, unit: 'PC', price: at + 0.5, stock: 100 + at,
    })))
  }
  const made = numbers(orders, at => at + from)
  await INSERT.into(Orders).entries(made.map(at => ({
    ID: id(at), number: String(at).padStart(10, '0'), customer_ID: `C${at % customers}`,
    total: at * 10, ordered: '2026-01-31', due: '2026-02-01T10:00:00.123Z',
  })))
  await INSERT.into(Lines).entries(made.flatMap(at => numbers(lines, position => ({
    order_ID: id(at), position, product_ID: `P${(at * lines + position) % products}`,
    quantity: position + 1, price: 9.5,
  }))))
}

function tables() {
  return Object.values(cds.entities('data')).filter(each => each.kind === 'entity')
}

async function empty() {
  for (const table of tables()) await DELETE.from(table)
}

async function restore() {
  if (!fs.existsSync('state.json')) return
  const state = JSON.parse(fs.readFileSync('state.json', 'utf8'))
  for (const table of tables()) {
    if (state[table.name]?.length) await INSERT.into(table).entries(state[table.name])
  }
}

// No new request from now on, and those under way end first: what was answered is kept.
async function leave() {
  leaving = true
  while (underWay) await new Promise(resolve => setTimeout(resolve, 5))
  const state = {}
  for (const table of tables()) state[table.name] = await SELECT.from(table)
  fs.writeFileSync('state.json', JSON.stringify(state))
  process.exit(0)
}

async function main() {
  await cds.plugins
  cds.env.requires.auth = cds.requires.auth = login.auth
  Object.assign((cds.env.cov2ap ??= {}), { target: `http://127.0.0.1:${port}`, port })
  if (process.env.PAGE) cds.env.query.limit.max = Number(process.env.PAGE)

  const app = express()
  app.use(admit)
  app.use(count)
  app.get('/-/count', (_, res) => res.json(counted))
  app.post('/-/reset', (_, res) => {
    Object.assign(counted, { v4: 0, v2: 0, operations: 0, paths: [] })
    res.json({})
  })
  app.post('/-/fill', express.json(), (req, res, next) =>
    cds.tx(() => fill(req.body)).then(() => res.json({}), next))
  app.post('/-/empty', (_, res, next) => cds.tx(empty).then(() => res.json({}), next))
  app.post('/-/write', express.json(), (req, res, next) => cds.tx(async () => {
    const table = cds.entities('data')[req.body.table]
    await UPSERT.into(table).entries(req.body.rows)
  }).then(() => res.json({}), next))
  app.post('/-/forget', (_, res) => { csrf.forget(); login.forget(); res.json({}) })
  app.post('/-/token', express.urlencoded({ extended: false }), login.token)
  app.use(csrf.check)
  app.listen = chosen => http.createServer(app).listen(chosen, '127.0.0.1')

  cds.on('served', async services => {
    services.Erp.prepend(() => services.Erp.before('*', () => { counted.operations += 1 }))
    await restore()
  })
  const server = await cds.server({ from: '*', service: 'all', in_memory: true, app, port })
  server.once('listening', () => cds.emit('listening', { server, url: `http://127.0.0.1:${port}` }))
  process.once('SIGTERM', leave)
}

main().catch(error => { console.error(error); process.exit(1) })
