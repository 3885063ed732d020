"""Jobs that Helm runs around a release: look before an upgrade, install the CRDs, release the nodes, test."""
