"""The HTTP side: a router per resource over the desk, the feed and the database.

| module      | holds |
|-------------|-------|
| app         | ``create_app(house)``: middleware, routers, error handlers |
| house       | what the API needs from the rest of the controller |
| gate        | what every request passes: request id, key, size, time, log, metrics |
| auth        | API keys, scopes, tickets |
| problems    | every error, RFC 9457 |
| idempotency | the same answer to the same `Idempotency-Key` |
| paging      | cursors |
| fields      | the types of single values: numbers, texts, ids |
| models, views | what comes in, what goes out |
| routes/     | a router per resource |
"""
