-- Refunds, adjustments, chargebacks, promotional credit: what is needed beside the double entry to decide them.

create index txn_refund on txn (hold_id) where kind = 'refund';
create index txn_topup on txn (holder, id) where kind = 'topup';

create table dispute (
    provider text not null,
    dispute_id text not null,
    payment uuid not null,
    kind text not null check (kind in ('dispute', 'returned')),
    txn uuid not null,
    amount_nano positive_nano not null,
    reinstatement uuid,
    reinstated_nano nano not null default 0,
    primary key (provider, dispute_id),
    check (reinstated_nano <= amount_nano and (reinstatement is null) = (reinstated_nano = 0))
);
create index dispute_of_payment on dispute (payment);
comment on table dispute is 'what a payment provider took back of a top-up, and what of that it gave again';
comment on column dispute.kind is 'returned: the operator paid the customer back at the provider; nobody disputes it';

create table early_notice (
    provider text not null,
    event_id text not null,
    payment_id text not null,
    payload text not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (provider, event_id)
);
create index early_notice_of_payment on early_notice (provider, payment_id);
comment on table early_notice is 'what a payment provider said of a payment that it has not announced yet: it waits for it';

create table credit (
    account bigint primary key references bucket_balance (account),
    holder text not null,
    seq bigint not null,
    posted bigint not null check (posted >= 0),
    has_lots boolean not null default false
);
create index credit_of_holder on credit (holder) where has_lots;
create index credit_with_lots on credit (account) where has_lots;
comment on table credit is 'how far a bucket''s moves were folded into its promotional lots: a bucket that never had any has no row';
comment on column credit.seq is 'the balance_move up to which the lots are up to date';

create table credit_lot (
    id uuid primary key,
    account bigint not null references credit (account),
    expires_at timestamptz not null,
    granted_nano positive_nano not null,
    left_nano nano not null,
    expired_nano nano not null default 0,
    is_open boolean not null default true,
    check (left_nano + expired_nano <= granted_nano and (is_open or left_nano = 0))
);
create index credit_lot_open on credit_lot (account) where is_open;
create index credit_lot_due on credit_lot (expires_at) where is_open;
comment on column credit_lot.id is 'the transaction that granted it';
comment on column credit_lot.is_open is 'something of it is left, in the bucket or in a run''s earmark';

create table credit_earmark (
    account bigint not null references credit (account),
    run text not null,
    lot uuid references credit_lot (id),
    amount_nano positive_nano not null,
    unique nulls not distinct (account, run, lot)
);
comment on table credit_earmark is 'from which lots a run''s earmark came; lot is null for paid money';
