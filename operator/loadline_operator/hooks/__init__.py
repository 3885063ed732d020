"""Jobs that Helm runs around a release: install the CRDs, release the nodes, test what was installed."""
