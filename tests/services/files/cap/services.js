const cds = require('@sap/cds')

module.exports = class Erp extends cds.ApplicationService {
  async init() {
    const { Orders, Products } = this.entities

    const order = async req => {
      const found = await SELECT.one.from(req.subject)
      return found ?? req.reject(404, 'There is no such order')
    }

    this.on('confirm', Orders, async req => {
      const { ID, confirmations } = await order(req)
      const change = { status: 'C', confirmations: confirmations + 1 }
      if (req.data.reason) change.note = req.data.reason
      await UPDATE(Orders, ID).with(change)
      return SELECT.one.from(Orders, ID)
    })

    this.on('hold', Orders, async req => {
      const { ID, number, status } = await order(req)
      if (status !== 'O') return req.reject(409, `Order ${number} is not open any more`)
      await UPDATE(Orders, ID).with({ status: 'H', note: req.data.reason })
    })

    this.on('take', async req => {
      const { product, quantity } = req.data
      const found = await SELECT.one.from(Products, product)
      if (!found) return req.reject(404, `There is no product ${product}`)
      if (found.stock < quantity) return req.reject(409, `Only ${found.stock} of ${product} left`)
      await UPDATE(Products, product).with({ stock: found.stock - quantity })
      return found.stock - quantity
    })

    this.on('stockOf', async req => {
      const found = await SELECT.one.from(Products, req.data.product)
      return found ? found.stock : req.reject(404, `There is no product ${req.data.product}`)
    })

    return super.init()
  }
}
