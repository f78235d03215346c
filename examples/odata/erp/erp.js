const cds = require('@sap/cds')

module.exports = class Erp extends cds.ApplicationService {
  init() {
    const { Orders, Lines, Products } = this.entities

    this.before('CREATE', Orders, async req => {
      const { last } = await SELECT.one.from(Orders).columns('max(number) as last')
      req.data.number = String(Number(last ?? 1000) + 1)
    })

    const change = async (req, values) => {
      const { number } = req.params[0]
      if (!(await UPDATE(Orders, number).with(values))) return req.reject(404, `No order ${number}`)
      return SELECT.one.from(Orders, number)
    }

    this.on('confirm', Orders, async req => {
      const { number } = req.params[0]
      for (const { product_ID, quantity } of await SELECT.from(Lines).where({ order_number: number })) {
        const { name, stock } = await SELECT.one.from(Products, product_ID)
        if (stock < quantity) return req.reject(409, `Only ${stock} of ${name} left`)
        await UPDATE(Products, product_ID).with({ stock: stock - quantity })
      }
      return change(req, { status: 'C', note: null, letters: { '+=': 1 } })
    })
    this.on('hold', Orders, req => change(req, { status: 'H', note: req.data.reason }))
    this.on('reopen', Orders, async req => {
      const { number } = req.params[0]  // what was confirmed meanwhile stays so
      await UPDATE(Orders).with({ status: 'O', note: null }).where({ number, status: { '!=': 'C' } })
      return SELECT.one.from(Orders, number)
    })

    this.on('deliver', async req => {
      const { product, quantity } = req.data
      await UPDATE(Products, product).with({ stock: { '+=': quantity } })
    })

    return super.init()
  }
}
