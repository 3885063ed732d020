//go:build tools

// Package tools pins LeaderWorkerSet's controller manager, which the test bed builds.
package tools

import _ "sigs.k8s.io/lws/cmd"
