// A small ERP: customers order products, the desk confirms or holds, the warehouse delivers.
namespace erp;

using { managed } from '@sap/cds/common';

entity Customers : managed {
  key ID   : String(10);
      name : String(80);
}

entity Products : managed {
  key ID    : String(18);
      name  : String(80);
      stock : Integer default 0;
}

entity Orders : managed {
  key number   : String(10);
      customer : Association to Customers;
      status   : String(1) enum { open = 'O'; confirmed = 'C'; held = 'H' } default 'O';
      note     : String(200);
      letters  : Integer default 0; // that the customer was sent; one would be right
      lines    : Composition of many Lines on lines.order = $self;
}

entity Lines : managed {
  key order    : Association to Orders;
  key position : Integer;
      product  : Association to Products;
      quantity : Integer;
}

@path: 'erp'
@requires: 'authenticated-user'
service Erp {
  @odata.etag: modifiedAt
  entity Orders as projection on erp.Orders actions {
    // Takes the goods from the stock and sends the customer a letter: twice is once too often.
    action confirm() returns Orders;
    action hold(reason : String(200)) returns Orders;
    action reopen() returns Orders;
  };
  entity Lines     as projection on erp.Lines;
  entity Products  as projection on erp.Products;
  entity Customers as projection on erp.Customers;
  // Goods come in.
  action deliver(product : String(18), quantity : Integer);
}
