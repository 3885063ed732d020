"""
Who works on this node: pods, their services, their GPUs, and their engines' latencies.

`node_workloads` ties them together and fulfils `domain.ports`; pods and services come from
informers of `kube`, GPUs from the kubelet's socket, latencies from the engines themselves.
"""
