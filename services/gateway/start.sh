# The gateway's start: who the replicas are is kept in a volume, and survives this container. A first start finds none,
# and one whose state nginx refuses begins anew: rollouts write it again.
set -eu
here=/run/pageindex-stack state=/var/tmp
fresh() {
    for file in replicas.conf outage.conf; do cp -f "$here/$file" "$state/$file"; done
}
[ -s "$state/replicas.conf" ] && [ -s "$state/outage.conf" ] || fresh
nginx -t -q -e stderr -c "$here/nginx.conf" || fresh
exec nginx -e stderr -c "$here/nginx.conf"
