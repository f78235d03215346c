// SAP Gateway's protection: writes need the token that a read was handed, and its cookie.
const { randomUUID } = require('crypto')

let token = randomUUID()
const wanted = process.env.CSRF === '1'

exports.forget = () => { token = randomUUID() }

exports.check = function csrf(req, res, next) {
  if (!wanted) return next()
  if (['GET', 'HEAD'].includes(req.method)) {
    if (/^fetch$/i.test(req.headers['x-csrf-token'] ?? '')) {
      res.set('x-csrf-token', token)
      res.cookie('SAP_SESSIONID', token)
    }
    return next()
  }
  const cookie = req.headers.cookie?.includes(`SAP_SESSIONID=${token}`)
  if (req.headers['x-csrf-token'] === token && cookie) return next()
  res.set('x-csrf-token', 'Required').status(403).send('CSRF token validation failed')
}
