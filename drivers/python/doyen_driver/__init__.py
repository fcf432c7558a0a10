"""The Python driver: holds a context (kinds `python` and `pyspark`) and runs jobs in it.

It speaks layer 1 of docs/driver-protocol.md. `python3 -m doyen_driver` is the driver main (`dispatcher`); it has one
`zygote`, which forks `worker` processes; each worker runs one job at a time.
"""

PROTOCOL = 1
