// How callers log in, by AUTH: none, basic (CAP's own), oauth or apikey.
const cds = require('@sap/cds')
const { randomUUID } = require('crypto')

const mode = process.env.AUTH || 'none'
const tokens = new Map()
let seconds = Number(process.env.TOKEN_SECONDS || 3600)

exports.auth = {
  none: { kind: 'dummy' },
  basic: {
    kind: 'basic',
    users: { '*': false, bridge: { password: 'Zq7xTestSecretX9vK-cap' }, clerk: { password: 'clerk' } },
    login_required: true,
  },
}[mode] ?? { kind: 'custom', impl: __filename }

exports.default = function login(req, res, next) {
  const given = req.headers.authorization?.match(/^bearer (.*)/i)?.[1]
  const known =
    mode === 'apikey' ? req.headers['x-api-key'] === 'Zq7xTestSecretX9vK-api' : (tokens.get(given) ?? 0) > Date.now()
  if (!known) return res.set('WWW-Authenticate', 'Bearer').status(401).send('Unauthorized')
  req.user = cds.context.user = new cds.User({ id: 'bridge' })
  next()
}

exports.token = function token(req, res) {
  const basic = Buffer.from(req.headers.authorization?.split(' ')[1] ?? '', 'base64').toString()
  const { grant_type, client_id, client_secret } = req.body ?? {}
  const right = [basic, `${client_id}:${client_secret}`].includes('client:Zq7xTestSecretX9vK-client')
  if (!right || grant_type !== 'client_credentials')
    return res.status(401).json({ error: 'invalid_client' })
  const access_token = 'Zq7xTestSecretX9vK-' + randomUUID()
  tokens.set(access_token, Date.now() + seconds * 1000)
  res.json({ access_token, token_type: 'Bearer', expires_in: seconds })
}

exports.forget = () => tokens.clear()
