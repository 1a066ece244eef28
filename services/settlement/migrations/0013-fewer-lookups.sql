-- Look an account up once per statement and a transaction once, not once per posting: a batch posts hundreds of lines in few accounts.

create or replace function postings_balance() returns trigger language plpgsql as $$
begin
    if exists (
        select from added group by txn, currency having sum(case side when 'debit' then amount else -amount end) <> 0
    ) or exists (
        select from (select distinct account, currency from added) a
        where not exists (select from account k where k.id = a.account and k.currency = a.currency)
    ) or exists (
        select from (select distinct txn from added) a where not exists (select from txn t where t.id = a.txn)
    ) then
        raise exception 'postings must balance per transaction and currency, in known accounts of that currency'
            using errcode = 'TB002';
    end if;
    return null;
end
$$;
