// A bookshop as CAP's own sample has it: code lists, localized texts, compositions, drafts.
namespace bookshop;

using { cuid, managed, Currency, sap.common.CodeList } from '@sap/cds/common';

type Money : Decimal(9, 2);

entity Books : managed {
  key ID       : Integer;
      title    : localized String(111) @mandatory;
      descr    : localized String(1111);
      author   : Association to Authors @mandatory;
      genre    : Association to Genres;
      stock    : Integer;
      price    : Money;
      weight   : Decimal;
      currency : Currency;
      image    : LargeBinary @Core.MediaType: 'image/png';
      chapters : Composition of many Chapters on chapters.book = $self;
}

entity Chapters : cuid {
  book   : Association to Books;
  number : Integer;
  title  : localized String(111);
}

entity Authors : managed {
  key ID           : Integer;
      name         : String(111) @mandatory;
      dateOfBirth  : Date;
      dateOfDeath  : Date;
      books        : Association to many Books on books.author = $self;
}

// A hierarchy: each genre leads to its own kind.
entity Genres : CodeList {
  key ID       : Integer;
      parent   : Association to Genres;
      children : Composition of many Genres on children.parent = $self;
}

// What visitors see: nothing of it can be written, and an author is a name.
@path: 'catalog'
@requires: 'authenticated-user'
service Catalog {
  @readonly entity Books as projection on bookshop.Books {
    *, author.name as author
  } excluding { createdBy, modifiedBy, chapters };
  @readonly entity ListOfBooks as projection on Books excluding { descr };
  @readonly entity Genres as projection on bookshop.Genres;
  action submitOrder(book : Books:ID @mandatory, quantity : Integer @mandatory)
    returns { stock : Integer };
  event OrderedBook : { book : Books:ID; quantity : Integer; buyer : String };
}

// What the shop's people work with: books are edited as drafts.
@path: 'admin'
@requires: 'authenticated-user'
service Admin {
  entity Books as projection on bookshop.Books actions {
    action addReview(rating : Integer @mandatory, title : String(60), text : String) returns Books;
  };
  entity Authors as projection on bookshop.Authors;
  entity Genres as projection on bookshop.Genres;
}

annotate Admin.Books with @odata.draft.enabled;
annotate Admin.Authors with { modifiedAt @odata.etag };
