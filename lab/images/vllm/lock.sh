#!/bin/sh
# Rewrites requirements.txt from requirements.in and overrides.txt: every package, with the hash of the one file that
# CPython 3.11 on x86_64 Linux installs. Needs docker and the Python base image.
set -eu
cd "$(dirname "$0")"
docker run --rm --volume "$PWD:/recipe:ro" --workdir /recipe python:3.11-slim-bookworm sh -euc '
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    pip install --quiet --root-user-action ignore uv >&2
    uv pip compile --quiet --no-annotate --no-header --override overrides.txt requirements.in --output-file /tmp/pinned
    pip install --quiet --dry-run --ignore-installed --no-deps --report /tmp/report.json -r /tmp/pinned >&2
    python3 - <<END
import json
for item in sorted(json.load(open("/tmp/report.json"))["install"], key=lambda item: item["metadata"]["name"].lower()):
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    print(f"{name.lower()}=={version} --hash=sha256:{digest}")
END
' > requirements.lock
{ echo "# Written by lock.sh. Change requirements.in instead."; cat requirements.lock; } > requirements.txt
rm requirements.lock
