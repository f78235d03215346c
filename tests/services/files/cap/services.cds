using { data } from './erp';
using from './bookshop';

@path: 'erp'
@requires: 'authenticated-user'
service Erp {
  entity Customers as projection on data.Customers;
  entity Products  as projection on data.Products;
  entity Orders    as projection on data.Orders actions {
    // Deliberately not safe to repeat: `confirmations` tells how often it ran.
    action confirm(reason : String(60)) returns Orders;
    // Refuses orders that are not open, as an ERP would.
    action hold(reason : String(60) not null);
  };
  entity Lines     as projection on data.Lines;
  entity Suites    as projection on data.Suites;
  entity Plains    as projection on data.Plains;
  entity Kinds     as projection on data.Kinds;
  entity kit_types as projection on data.kit_types;
  // Takes a product from the stock.
  action take(product : String(18), quantity : Integer) returns Integer;
  function stockOf(product : String(18)) returns Integer;
}

annotate Erp.Orders with { modifiedAt @odata.etag };
annotate Erp.Products with { modifiedAt @odata.etag };
annotate Erp.Suites with { modifiedAt @odata.etag };
annotate Erp.Kinds with { modifiedAt @odata.etag };
