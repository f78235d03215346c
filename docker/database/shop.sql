-- A table to try the bridge on, and the rights that it needs, no more.
create table customer (
    id   bigint primary key,
    name text not null
);
insert into customer values (1, 'Ada');

create role bridge login replication password 'bridge';
grant select on customer to bridge;
create publication bridge for table customer;
