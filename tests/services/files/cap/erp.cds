// A small ERP as tests and examples need it: orders with lines, products with stock, customers.
namespace data;

using { cuid, managed } from '@sap/cds/common';

// No time of change and no ETag: only comparing tells what changed here.
entity Customers {
  key ID       : String(10);
      name     : String(80);
      exposure : Decimal(15, 2) default 0;
      limit    : Decimal(15, 2) default 0;
      blocked  : Boolean default false;
      since    : Date;
      orders   : Association to many Orders on orders.customer = $self;
}

entity Products : managed {
  key ID    : String(18);
      name  : String(80);
      unit  : String(3) enum { piece = 'PC'; kilogram = 'KG'; metre = 'M' };
      price : Decimal(13, 3);
      stock : Integer default 0;
}

entity Orders : cuid, managed {
  number        : String(10);
  customer      : Association to Customers;
  status        : String(1) enum { open = 'O'; confirmed = 'C'; held = 'H' } default 'O';
  total         : Decimal(15, 2);
  ordered       : Date;
  due           : Timestamp;
  express       : Boolean default false;
  note          : String(200);
  confirmations : Integer default 0;
  lines         : Composition of many Lines on lines.order = $self;
}

entity Lines {
  key order    : Association to Orders;
  key position : Integer;
      product  : Association to Products;
      quantity : Decimal(13, 3);
      price    : Decimal(13, 3);
}

// The tables of the connector suite: one that tells when it changed, one that doesn't.
type Suite {
  customer : String(200);
  qty      : Integer;
  price    : Decimal(15, 2);
}

entity Suites : managed, Suite { key order_no : String(10); }
entity Plains : Suite { key order_no : String(10); }

// Each type that a property may have.
entity Kinds : managed {
  key id         : Integer;
      flag       : Boolean;
      tiny       : UInt8;
      small      : Int16;
      whole      : Integer;
      big        : Int64;
      exact      : Decimal(15, 4);
      floating   : Decimal;
      approx     : Double;
      day        : Date;
      clock      : Time;
      moment     : DateTime;
      instant    : Timestamp;
      code       : String(4);
      story      : LargeString;
      raw        : Binary(16);
      photo      : LargeBinary @Core.MediaType: 'image/png';
      guid       : UUID;
}

// The table of the connector suite that has a column of each type; `c0` and so on in this order.
entity kit_types : managed {
  key id  : Integer;
      c0  : Boolean;
      c1  : UInt8;
      c2  : Int16;
      c3  : Integer;
      c4  : Int64;
      c5  : Decimal(15, 4);
      c6  : Decimal;
      c7  : Double;
      c8  : Date;
      c9  : Time;
      c10 : DateTime;
      c11 : Timestamp;
      c12 : String(40);
      c13 : LargeString;
      c14 : Binary(16);
      c15 : UUID;
}
