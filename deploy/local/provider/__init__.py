"""A provider simulator: speaks the providers' wire formats with scripted token counts, latencies and faults.

`python -m deploy.local.provider --host 127.0.0.1 --port 8100` serves it. A channel is the first segment of the path, so that
faults and figures are kept per channel; what follows it chooses the format: `/{channel}/v1/chat/completions` (OpenAI),
`/{channel}/v1/messages` (Anthropic), `/{channel}/v1beta/models/{model}:generateContent` and `:streamGenerateContent?alt=sse`
(Gemini). Counts come from the prompt's text unless a phrase in it scripts them (`phrase`).
"""
