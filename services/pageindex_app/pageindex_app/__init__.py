"""The official PageIndex library behind an HTTP API, answering with the stack's own vLLM.

Three programs lie here: the service (`__main__`), its worker processes (`worker_main`) and `quote_finder`. The
packages, from the lowest to the highest, are `base`, then `search`, `workers` and `model`, then `documents`, then
`indexing` and `answering`, then `api`; `services` builds the parts for `api`. A package imports lower ones only, and
`tests/unit/pageindex_app/test_architecture.py` holds that.
"""

__version__ = "0.1.0"
