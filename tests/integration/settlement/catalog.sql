select 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid)
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where n.nspname = %(schema)s and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
-- next
select 'constraint', c.relname, k.conname, pg_get_constraintdef(k.oid)
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = k.connamespace
where n.nspname = %(schema)s
-- next
select 'index', tablename, indexname, indexdef from pg_indexes where schemaname = %(schema)s
-- next
select 'trigger', c.relname, t.tgname, pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and not t.tgisinternal
-- next
select 'function', p.proname, pg_get_functiondef(p.oid)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = %(schema)s
-- next
select 'options', c.relname, c.reloptions
from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %(schema)s and c.relkind = 'r'
-- next
select 'comment', c.relname, d.objsubid, d.description
from pg_description d join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
join pg_namespace n on n.oid = c.relnamespace where n.nspname = %(schema)s
