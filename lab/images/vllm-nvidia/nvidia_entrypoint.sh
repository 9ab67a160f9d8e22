#!/bin/sh
# Says what NVIDIA's entrypoint says about the release and the card, then runs the command.
printf '\n==========\n== vLLM ==\n==========\n\nNVIDIA Release 26.10 (stand-in without CUDA)\n\n'
if ! nvidia-smi > /dev/null 2>&1; then
    printf 'WARNING: The NVIDIA Driver was not detected.  GPU functionality will not be available.\n\n'
fi
[ "$#" -gt 0 ] || set -- /bin/bash
exec "$@"
