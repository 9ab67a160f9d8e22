#!/bin/sh
# Shapes a Debian root ($1) with Debian's nginx into the official nginx image: user 101:101, its configuration files,
# its entrypoint, logs on the container's own output.
set -eu
root=$1
here=$(dirname "$0")
taken=$(grep -E '^[^:]*:[^:]*:101:' "$root/etc/passwd" "$root/etc/group" || true)
if [ -n "$taken" ]; then
    echo "user or group 101, nginx's in the official image, is taken: $taken" >&2
    exit 1
fi
chroot "$root" groupadd --system --gid 101 nginx
chroot "$root" useradd --system --uid 101 --gid nginx --no-create-home --home-dir /nonexistent \
    --comment "nginx user" --shell /bin/false nginx

rm -rf "$root/etc/nginx/sites-available" "$root/etc/nginx/sites-enabled" "$root/etc/nginx/modules-enabled" \
    "$root/etc/nginx/modules-available" "$root/etc/nginx/snippets" "$root/var/www"
mkdir -p "$root/etc/nginx/conf.d" "$root/docker-entrypoint.d" "$root/var/cache/nginx" "$root/usr/share/nginx/html"
install -m 0644 "$here/nginx.conf" "$root/etc/nginx/nginx.conf"
install -m 0644 "$here/default.conf" "$root/etc/nginx/conf.d/default.conf"
install -m 0755 "$here/docker-entrypoint.sh" "$root/docker-entrypoint.sh"
# Debian compiles in /var/lib/nginx for temporary files, the official image has /var/cache/nginx: one is the other.
rm -rf "$root/var/lib/nginx"
ln -s /var/cache/nginx "$root/var/lib/nginx"
chroot "$root" chown nginx:root /var/cache/nginx
ln -sf /dev/stdout "$root/var/log/nginx/access.log"
ln -sf /dev/stderr "$root/var/log/nginx/error.log"
echo '<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>' > "$root/usr/share/nginx/html/index.html"
chroot "$root" nginx -t
