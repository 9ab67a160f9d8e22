"""Worker processes: how they are started and ended, and what is said to them and by them.

Imports `base`. What a worker does is in `indexing` and `documents`; `worker_main` puts it together.
"""
