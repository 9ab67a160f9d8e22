# The gateway's start: who the replicas are is kept in a volume, and survives this container. A file that is not there
# yet is laid out as one that was never told anything; a state that nginx refuses begins anew: rollouts write it again.
set -eu
here=/run/pageindex-stack state=/var/tmp
for file in "$here"/replicas*.conf "$here"/outage*.conf; do
    [ -s "$state/${file##*/}" ] || cp -f "$file" "$state/"
done
nginx -t -q -e stderr -c "$here/nginx.conf" || cp -f "$here"/replicas*.conf "$here"/outage*.conf "$state/"
exec nginx -e stderr -c "$here/nginx.conf"
