-- name: cost_of_subject
SELECT currency, sum(cost_nano) AS nano
FROM usage_minute
WHERE at >= toStartOfMinute(toDateTime(%(since)s, 'UTC'))
  AND at <= toDateTime(%(until)s, 'UTC')
  AND (%(account)s = '' OR account_id = %(account)s)
  AND multiIf(
      %(kind)s = 'key', key_id, %(kind)s = 'project', project_id, %(kind)s = 'account', account_id,
      %(kind)s = 'channel', channel,
      %(kind)s = 'route', substringUTF8(concat(requested_model, ' via ', route_type, ' in ', currency, ' of ', account_id), 1, 256),
      requested_model
  ) = %(subject)s
GROUP BY currency
HAVING nano > 0
ORDER BY currency
