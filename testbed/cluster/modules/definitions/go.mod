module loadline.dev/testenv/definitions

go 1.26.0

require github.com/kedacore/keda/v2 v2.21.0

require github.com/prometheus-operator/prometheus-operator v0.92.0

require sigs.k8s.io/gateway-api-inference-extension v1.5.0
