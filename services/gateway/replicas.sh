# Says and changes which replicas the gateway uses, while it runs; `python -m rollout` calls this.
#   show FILE | keep FILE < content | put FILE < content | reload
# `put` replaces a file that nginx includes in one step, and only by one that nginx accepts. `reload` is graceful, and
# ends when the old workers take no connection any more.
set -eu
here=/run/pageindex-stack state=/var/tmp
case "$1" in
show) [ ! -e "$state/$2" ] || cat "$state/$2" ;;
keep)
    cat >"$state/$2.new"
    mv "$state/$2.new" "$state/$2"
    ;;
put)
    candidate=/tmp/candidate-$$.conf  # the models of a stack are rolled out beside each other
    trap 'rm -f "$candidate"' EXIT
    cat >"$state/$2.new"
    sed "s#$state/$2;#$state/$2.new;#" "$here/nginx.conf" >"$candidate"
    nginx -t -q -e stderr -c "$candidate"
    mv "$state/$2.new" "$state/$2"
    ;;
reload) exec sh "$here/apply.sh" ;;
esac
