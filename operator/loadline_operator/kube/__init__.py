"""The API server as the operator knows it: requests, applying, watches, facts kept of objects."""
