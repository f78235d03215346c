// Serves the ERP on PORT of 127.0.0.1; what was entered is kept in the file STATE until the next start.
const fs = require('fs')
const http = require('http')
const cds = require('@sap/cds')
const express = require('express')

const { PORT, STATE, PASSWORD } = process.env
const tables = () => Object.values(cds.entities('erp')).filter(one => one.kind === 'entity')

async function restore() {
  if (!fs.existsSync(STATE)) return
  const state = JSON.parse(fs.readFileSync(STATE, 'utf8'))
  for (const { name } of tables()) {
    await DELETE.from(name)
    if (state[name]?.length) await INSERT.into(name).entries(state[name])
  }
}

async function leave() {
  const state = {}
  for (const { name } of tables()) state[name] = await SELECT.from(name)
  fs.writeFileSync(STATE, JSON.stringify(state))
  process.exit(0)
}

async function main() {
  await cds.plugins
  cds.env.requires.auth = cds.requires.auth = {
    kind: 'basic', login_required: true, users: { '*': false, bridge: { password: PASSWORD } },
  }
  cds.env.cov2ap = { target: `http://127.0.0.1:${PORT}`, port: PORT }
  const app = express()
  app.listen = port => http.createServer(app).listen(port, '127.0.0.1')
  cds.on('served', restore)
  const server = await cds.server({ from: 'erp.cds', service: 'all', in_memory: true, app, port: PORT })
  server.once('listening', () => cds.emit('listening', { server, url: `http://127.0.0.1:${PORT}` }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, leave)
}

main().catch(error => { console.error(error); process.exit(1) })
