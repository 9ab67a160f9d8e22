#!/bin/sh
# Starts dockerd inside a root of its own. Runs under `unshare --mount --pid --fork`, so that
# - its mounts are nobody else's, and vanish with its last process;
# - it is process 1 of its process namespace: when it dies, however it dies, the kernel ends containerd, every shim
#   and every container with it. Nothing can be left behind.
# Arguments: ROOT DATA RUN, then dockerd's own.
set -eu
root=$1 data=$2 run=$3
shift 3

# /proc is still the parent namespace's, so this is the number that the host knows this process by.
read -r host_pid _ < /proc/self/stat

mount --make-rprivate /
mount --bind "$root" "$root" # pivot_root wants a mount point; a plain chroot makes image imports fail
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root$run" "$root$data" "$root/var/lib/docker" "$root/old"
mount --bind "$run" "$root$run"
mount --bind "$data" "$root/var/lib/docker"

# The host's own directories, where users keep things, so that `docker run -v /home/me/models:/models` means here what
# it means with any local engine.
for directory in /*; do
    case $directory in
        /bin | /boot | /dev | /etc | /lib | /lib32 | /lib64 | /libx32 | /lost+found | /old | /proc | /run | /sbin | /sys | /usr | /var) continue ;;
    esac
    if [ -d "$directory" ] && [ ! -L "$directory" ]; then
        mkdir -p "$root$directory"
        mount --rbind "$directory" "$root$directory"
    fi
done

# Names resolve as on the host. A resolver on the host's loopback is out of reach of containers: take what is behind it.
resolver=/etc/resolv.conf
if ! grep -qE '^nameserver +[^1]|^nameserver +1[^2]|^nameserver +12[^7]' "$resolver" && [ -s /run/systemd/resolve/resolv.conf ]; then
    resolver=/run/systemd/resolve/resolv.conf
fi
cat "$resolver" > "$root/etc/resolv.conf"
cat /etc/hosts > "$root/etc/hosts"
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/etc/ssl/certs"
    cat /etc/ssl/certs/ca-certificates.crt > "$root/etc/ssl/certs/ca-certificates.crt"
fi

cd "$root"
pivot_root . old
umount -l /old
echo "$host_pid" > "$run/engine.pid"
# docker-init (tini) adopts and reaps what containerd's shims leave behind, and passes SIGTERM on to dockerd.
exec /usr/bin/docker-init -- /usr/sbin/dockerd "$@"
