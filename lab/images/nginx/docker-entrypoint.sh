#!/bin/sh
# As in the official image: the executable scripts in /docker-entrypoint.d run first, then the command.
set -e
if [ "$1" = "nginx" ] || [ "$1" = "nginx-debug" ]; then
    for script in /docker-entrypoint.d/*.sh; do
        [ -x "$script" ] || continue
        echo "$0: Launching $script" >&2
        "$script"
    done
fi
exec "$@"
