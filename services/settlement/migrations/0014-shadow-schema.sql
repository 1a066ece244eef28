-- Where an audit rebuilds the ledger to compare it. The service may make tables there and nowhere else.
create schema if not exists settlement_shadow;
