-- An account's requests, newest first. Built beside running traffic: a lock on `hold` would stop every request meanwhile.
-- It waits for older transactions, for as long as they take; nobody waits for it.
-- transactional: false

set lock_timeout = 0;

drop index concurrently if exists hold_of_holder;

create index concurrently hold_of_holder on hold (holder, request_id);

reset lock_timeout;
