"""What an export may look like: a file to begin with."""

SAMPLE = """\
id,created_at,model,prompt_tokens,completion_tokens,cost,currency
chatcmpl-0001,2026-03-14T09:26:53Z,gpt-4o-2024-08-06,374,44,0.001375,USD
chatcmpl-0002,2026-03-14T09:27:10Z,gpt-4o-mini,120,80,0.000066,USD
"""
"""By reply. Without the column `id`, and with `date` for `created_at`, a line is the sum of a day and model."""
