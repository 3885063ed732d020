"""
The node's GPUs: read, limited, stepped down and restored, by one thread and one record.

Nothing here knows a domain, a coordinator or an API server; orders come in as watts per GPU,
and what the hardware holds goes out as read back. The guard is a process of its own beside it
and shares only the record's file.
"""
