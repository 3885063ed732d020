"""
The engines' plugins on this node: who they are, what they report, and which settings they get.

`worker_servers` takes their reports, after `token_reviews` has told which pod sent one and `rate_bounds`
whether it may send one more. What a worker reports is kept in memory, within bounds, and shown by
`worker_records`; nothing of it is written into an object of the API server.
"""
