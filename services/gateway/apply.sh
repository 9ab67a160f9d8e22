# Takes up changed files while the gateway runs: new workers start with them, the old ones finish what they have begun.
# Ends once no old worker takes connections any more; fails, and changes nothing, if nginx refuses the files.
set -eu
here=/run/pageindex-stack state=/var/tmp
conf=$here/nginx.conf
for file in "$here"/replicas*.conf "$here"/outage*.conf; do  # of a model that came with these files
    [ -s "$state/${file##*/}" ] || cp -f "$file" "$state/"
done
old=$(cat /proc/1/task/1/children)
nginx -t -q -e stderr -c "$conf"
nginx -e stderr -c "$conf" -s reload
tries=0
for pid in $old; do
    # An old worker says so itself, in its title.
    while [ -e "/proc/$pid/cmdline" ] && ! grep -qs "shutting down" "/proc/$pid/cmdline"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || { echo "the old workers go on: nginx could not take the files up, see its log" >&2; exit 1; }
        sleep 0.05
    done
done
