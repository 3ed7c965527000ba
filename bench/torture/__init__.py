"""`ocelog torture`: a real cluster under load while everything that can be broken is broken, and the verdict on what clients saw.

`scene` is the cluster and what stands around it, `faults` one class for each thing that goes wrong, `strikes` when which of
them strikes. The load and the verdict are those of `bench.consistency`.
"""
