-- A clock in the test's hand. It stands before pg_catalog in the search path, so that settlement's SQL reads it unchanged.
create table clock (at timestamptz not null);
insert into clock values ('epoch');
create function clock_timestamp() returns timestamptz language sql volatile as 'select at from settlement.clock';
