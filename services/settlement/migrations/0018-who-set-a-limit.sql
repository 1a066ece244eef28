-- Who set a limit last; null for the limits of runs, which their keys set, and for those that were set before this was recorded.
alter table envelope add column changed_by text;
